#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "ops/attention/choice.h"

namespace ehrjepa::ops {

/// The fastest way for each kind of call on each card, measured when it is first met and kept in a file, so that later
/// runs take the same one. Thread-safe.
class FastestWay {
 public:
  /// @param file  of lines `kind<TAB>way`; read when it is first needed. Empty: nothing is kept. One that cannot be
  /// read or written only means that it is measured again.
  explicit FastestWay(std::string file) : file_(std::move(file)) {}

  /// @param kind     names card, libtorch and shape; holds no tab and no line end.
  /// @param ways     not empty; one alone is not timed.
  /// @param seconds  of a call; a way that throws is not taken, and the error is thrown when all of them do.
  AttentionChoice choose(const std::string& kind, const std::vector<AttentionChoice>& ways,
                         const std::function<double(AttentionChoice)>& seconds);

 private:
  void read();
  void write() const;

  std::mutex mutex_;
  std::string file_;
  bool is_read_ = false;
  std::map<std::string, AttentionChoice> known_;
};

/// `attention-ways.tsv` in EHR_JEPA_CACHE, else in the user's cache folder, as scripts/setup has them.
std::string attention_ways_file();

}  // namespace ehrjepa::ops
