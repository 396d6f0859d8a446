#pragma once
#include <vector>

#include "contract/fields.h"
#include "contract/names.h"

namespace ehrjepa {

/// How the states of a prefix of a sequence become one.
enum class Pooling {
  kLast,  ///< state of the newest token of a prefix
  kMean,  ///< mean over the tokens of a prefix
  /// Mean over the tokens of a prefix that weighs a token e times less for every `kRecentTokens` tokens behind it.
  kRecent,
};
/// On simulated patients 64 to 128 tokens told most of the patient's state (docs/study.md).
inline constexpr double kRecentTokens = 96;

template <>
struct Names<Pooling> {
  static constexpr Named<Pooling> table[] = {
      {"last", Pooling::kLast}, {"mean", Pooling::kMean}, {"recent", Pooling::kRecent}};
};

enum class EncoderChoice { kEncoder, kTargetEncoder };
template <>
struct Names<EncoderChoice> {
  static constexpr Named<EncoderChoice> table[] = {{"encoder", EncoderChoice::kEncoder},
                                                   {"target_encoder", EncoderChoice::kTargetEncoder}};
};

struct Scores {
  std::vector<float> log_probabilities;  ///< (T - S), natural log; none for the first token of a sequence
  std::vector<float> hidden;             ///< (T x hidden_size) after the final norm, empty unless asked for
};
template <>
struct Fields<Scores> {
  static constexpr auto list =
      std::tuple(field("log_probabilities", &Scores::log_probabilities), field("hidden", &Scores::hidden));
};

}  // namespace ehrjepa
