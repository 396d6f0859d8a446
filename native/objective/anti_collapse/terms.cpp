#include "objective/anti_collapse/terms.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <string>

#include "core/error.h"

namespace ehrjepa::objective {
namespace {

void check(const NamedNumbers& weights) {
  for (const auto& [name, weight] : weights) {
    if (!(weight >= 0.0)) {
      throw Error("[latent] the weight of " + name + " must not be negative but is " + std::to_string(weight));
    }
    if (std::ranges::any_of(anti_collapse_terms, [&](const AntiCollapseTerm& term) { return term.name == name; })) {
      continue;
    }
    std::string known;
    for (const AntiCollapseTerm& term : anti_collapse_terms)
      known += (known.empty() ? "" : ", ") + std::string(term.name);
    throw Error("[latent] anti-collapse terms must be of " + known + " but one is " + name);
  }
}

}  // namespace

bool has_anti_collapse(const NamedNumbers& weights) {
  return std::ranges::any_of(weights, [](const auto& weight) { return weight.second > 0.0; });
}

at::Tensor anti_collapse(const NamedNumbers& weights, const Predictions& predictions) {
  check(weights);
  at::Tensor sum;
  for (const AntiCollapseTerm& term : anti_collapse_terms) {
    for (const auto& [name, weight] : weights) {
      if (name != term.name || weight <= 0.0) continue;
      const at::Tensor value = weight * term.value(predictions);
      sum = sum.defined() ? sum + value : value;
    }
  }
  return sum;
}

}  // namespace ehrjepa::objective
