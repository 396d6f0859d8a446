#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/floor_divide.h>
#include <ATen/ops/linalg_eigvalsh.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/xlogy.h>
#include <ATen/ops/zeros.h>

#include "objective/collapse/monitors.h"

namespace ehrjepa::objective {
namespace {

// Eigenvalues cost the cube of this; with all 825 positions of a 3,300-token step they were most of a reading.
constexpr std::int64_t rank_rows = 256;

at::Tensor evenly_spaced(const at::Tensor& x_MD, std::int64_t most) {
  const std::int64_t count = x_MD.size(0);
  if (count <= most) return x_MD;
  return x_MD.index_select(0, at::floor_divide(at::arange(most, x_MD.options().dtype(at::kLong)) * count, most));
}

}  // namespace

at::Tensor standard_deviation(const at::Tensor& latents_MD) {
  if (latents_MD.size(0) < 2) return at::zeros({}, latents_MD.options());
  const at::Tensor centred = latents_MD - latents_MD.mean(0, true);
  const auto count = static_cast<double>(latents_MD.size(0));
  return (centred.square().sum(0) / (count - 1)).sqrt().mean();
}

at::Tensor mean_cosine(const at::Tensor& latents_MD) {
  if (latents_MD.size(0) < 2) return at::ones({}, latents_MD.options());
  // sum over pairs i != j of <u_i, u_j> = |sum u|^2 - sum |u_i|^2: no M x M matrix.
  const at::Tensor unit = latents_MD / at::linalg_vector_norm(latents_MD, 2, {{1}}, true).clamp_min(1e-12);
  const at::Tensor together = unit.sum(0).square().sum(), alone = unit.square().sum();
  const auto count = static_cast<double>(latents_MD.size(0));
  return (together - alone) / (count * (count - 1));
}

at::Tensor gram_matrix(const at::Tensor& latents_MD) {
  // The smaller of both has the same non-zero eigenvalues as the covariance.
  const at::Tensor few_RD = evenly_spaced(latents_MD, rank_rows);
  const at::Tensor centred = few_RD - few_RD.mean(0, true);
  return few_RD.size(0) < few_RD.size(1) ? centred.mm(centred.t()) : centred.t().mm(centred);
}

double effective_rank(const at::Tensor& gram) {
  const at::Tensor eigenvalues = at::linalg_eigvalsh(gram).clamp_min(0.0);
  const double trace = eigenvalues.sum().item<double>();
  if (trace <= 0.0) return 1.0;
  const at::Tensor share = eigenvalues / trace;
  return (-at::xlogy(share, share).sum()).exp().item<double>();
}

}  // namespace ehrjepa::objective
