#pragma once
#include <cstdint>
#include <functional>

/// The tests of a card: with `ehrjepa_card_test` on a real one, with `ehrjepa_test` on the first pretend device.
namespace card {

/// Skips the test where there is no card.
void require();

/// Whether there is time for every case; on a pretend device only the small and the first show that a test can pass.
bool has_time_for_all();

/// How often the host waits for the card while `run` runs, as libtorch or the pretend device counts it.
std::int64_t waits_in(const std::function<void()>& run);

}  // namespace card
