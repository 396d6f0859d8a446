#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace ehrjepa::model {

/// What a predictor's shapes are made of: states of D features, width W.
struct PredictorSizes {
  std::int64_t hidden = 0;
  std::int64_t width = 0;
};
enum class PredictorSize {
  kOne,  ///< a vector has no second size
  kHidden,
  kWidth,
  kInner,  ///< 4 W
};

/// How a parameter begins.
enum class PredictorInitial {
  kMatrix,  ///< normal(0, fan_in^-1/2)
  kToken,   ///< normal(0, 0.02)
  kOnes,
  kZeros,
};

/// Which predictors have a parameter.
enum class PredictorStart { kAny, kBranch, kState };

/// One parameter of a predictor: its name, where the struct keeps it, shape and initial values. Predictors list their
/// rows in the order in which the initial values are drawn; names, counts and casts are read off the same list.
template <typename Owner>
struct PredictorRow {
  std::string_view name;
  at::Tensor Owner::* field;
  PredictorSize out, in;
  PredictorInitial initial;
  PredictorStart start = PredictorStart::kAny;
};

/// (out, in), PyTorch's layout; (out) when `in` is kOne.
std::vector<std::int64_t> predictor_shape(PredictorSize out, PredictorSize in, const PredictorSizes& sizes);

/// float32 on the host.
/// @param stream  number of the parameter; moves on when values are drawn.
at::Tensor initial_predictor_parameter(const std::vector<std::int64_t>& shape, PredictorInitial initial,
                                       std::uint64_t seed, std::uint32_t& stream);

/// Scalars of the rows that a predictor with this start has.
template <typename Rows>
std::int64_t count_of(const Rows& rows, const PredictorSizes& sizes, PredictorStart start = PredictorStart::kAny) {
  std::int64_t result = 0;
  for (const auto& row : rows) {
    if (row.start != PredictorStart::kAny && row.start != start) continue;
    std::int64_t scalars = 1;
    for (const std::int64_t size : predictor_shape(row.out, row.in, sizes)) scalars *= size;
    result += scalars;
  }
  return result;
}

/// Gives the owner initial tensors for the rows that a predictor with this start has.
template <typename Owner, typename Rows>
void initialise_rows(Owner& owner, const Rows& rows, const PredictorSizes& sizes, std::uint64_t seed,
                     std::uint32_t& stream, PredictorStart start = PredictorStart::kAny) {
  for (const auto& row : rows) {
    if (row.start != PredictorStart::kAny && row.start != start) continue;
    owner.*row.field = initial_predictor_parameter(predictor_shape(row.out, row.in, sizes), row.initial, seed, stream);
  }
}

/// Casts the tensors of the rows that the owner has, or moves them: whatever the options name.
template <typename Owner, typename Rows>
void cast_rows(Owner& result, const Owner& owner, const Rows& rows, const at::TensorOptions& options) {
  for (const auto& row : rows) {
    if ((owner.*row.field).defined()) result.*row.field = (owner.*row.field).to(options);
  }
}

}  // namespace ehrjepa::model
