#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/trapezoid.h>

#include "core/random.h"
#include "memory/transfer.h"
#include "objective/anti_collapse/terms.h"
#include "objective/wide.h"

namespace ehrjepa::objective {
namespace {

/// (D, K) float32 on the host, columns of length 1, uniform on the sphere.
at::Tensor random_directions(std::int64_t features, std::int64_t directions, std::uint64_t seed, std::uint32_t step) {
  at::Tensor result = at::empty({features, directions}, memory::on_host(at::kFloat));
  RandomStream random(seed, RandomPurpose::kDirections, step);
  float* const values = result.data_ptr<float>();
  for (std::int64_t i = 0; i < result.numel(); ++i) values[i] = static_cast<float>(random.normal());
  return result / at::linalg_vector_norm(result, 2, {{0}}, true);
}

}  // namespace

at::Tensor sigreg(const at::Tensor& latents_MD, std::int64_t directions, std::uint64_t seed, std::uint32_t step) {
  const at::Tensor x = wide(latents_MD);
  if (x.size(0) < 2) return x.sum() * 0.0;
  const at::Tensor directions_DK =
      memory::upload(random_directions(x.size(1), directions, seed, step).to(x.scalar_type()), x.device());
  constexpr std::int64_t points = 17;
  const at::Tensor t_P = at::linspace(-4.0, 4.0, points, x.options());
  const at::Tensor gaussian_P = (-0.5 * t_P.square()).exp();  // characteristic function of N(0, 1), and the weight
  const at::Tensor angles_MKP = x.mm(directions_DK).unsqueeze(-1) * t_P;
  const at::Tensor real_KP = angles_MKP.cos().mean(0) - gaussian_P;
  const at::Tensor imaginary_KP = angles_MKP.sin().mean(0);
  const at::Tensor error_KP = (real_KP.square() + imaginary_KP.square()) * gaussian_P;
  return at::trapezoid(error_KP, t_P, -1).mean() * static_cast<double>(x.size(0));
}

}  // namespace ehrjepa::objective
