#pragma once

namespace ehrjepa::api {

/// Lives while a thread of ours uses libtorch. The process must not run libtorch's static destructors then, which would
/// destroy what the thread is using: it ends at once instead, with its exit code, as soon as exit handlers
/// run. Once the process is leaving, a new call waits for its end.
class RunningCall {
 public:
  RunningCall();
  ~RunningCall();
  RunningCall(const RunningCall&) = delete;
  RunningCall& operator=(const RunningCall&) = delete;
};

/// Makes the check above the first exit handler that runs: what was set up after an earlier check would be destroyed
/// before it. Called when the process is about to leave; calls add it as well, for ways out that tell nobody.
/// @param code  what the process leaves with, for systems whose exit handlers are not told.
void check_at_exit(int code);

}  // namespace ehrjepa::api
