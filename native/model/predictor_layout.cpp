#include "model/predictor_layout.h"

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "core/error.h"
#include "memory/transfer.h"
#include "model/parameters.h"

namespace ehrjepa::model {
namespace {

std::int64_t size_of(PredictorSize size, const PredictorSizes& sizes) {
  switch (size) {
    case PredictorSize::kOne:
      return 1;
    case PredictorSize::kHidden:
      return sizes.hidden;
    case PredictorSize::kWidth:
      return sizes.width;
    case PredictorSize::kInner:
      return 4 * sizes.width;
  }
  throw Error("[predictor] unknown size");
}

}  // namespace

std::vector<std::int64_t> predictor_shape(PredictorSize out, PredictorSize in, const PredictorSizes& sizes) {
  if (in == PredictorSize::kOne) return {size_of(out, sizes)};
  return {size_of(out, sizes), size_of(in, sizes)};
}

at::Tensor initial_predictor_parameter(const std::vector<std::int64_t>& shape, PredictorInitial initial,
                                       std::uint64_t seed, std::uint32_t& stream) {
  switch (initial) {
    case PredictorInitial::kMatrix:
      return normal_parameter(shape, 1.0 / std::sqrt(static_cast<double>(shape.back())), seed, stream++);
    case PredictorInitial::kToken:
      return normal_parameter(shape, 0.02, seed, stream++);
    case PredictorInitial::kOnes:
      return at::ones(shape, memory::on_host(at::kFloat));
    case PredictorInitial::kZeros:
      return at::zeros(shape, memory::on_host(at::kFloat));
  }
  throw Error("[predictor] unknown initial values");
}

}  // namespace ehrjepa::model
