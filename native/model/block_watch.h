#pragma once
#include <cstddef>

namespace ehrjepa::model {

/// Told of the blocks of a pass: for whoever has the weights of a block in memory only while they are needed.
class BlockWatch {
 public:
  virtual ~BlockWatch() = default;
  /// Its weights are about to be read.
  virtual void before(std::size_t block) = 0;
  /// The forward pass has read them.
  virtual void after(std::size_t block) = 0;
  /// The backward pass is about to read them. Not called for blocks that no gradient reaches.
  virtual void before_backward(std::size_t block) = 0;
};

}  // namespace ehrjepa::model
