#pragma once
#include <c10/util/intrusive_ptr.h>

#include <memory>
#include <type_traits>
#include <utility>

namespace ehrjepa::model {

/// A new node of the autograd graph, held as this libtorch holds it: by std::shared_ptr up to 2.12, by
/// c10::intrusive_ptr from 2.13 (pytorch/pytorch#181782).
template <typename Node, typename... Arguments>
auto make_graph_node(Arguments&&... arguments) {
  if constexpr (std::is_base_of_v<c10::intrusive_ptr_target, Node>) {
    return c10::make_intrusive<Node>(std::forward<Arguments>(arguments)...);
  } else {
    // Frees a long graph without a recursion; torch::autograd has it where nodes are shared.
    return std::shared_ptr<Node>(new Node(std::forward<Arguments>(arguments)...), [](Node* node) { deleteNode(node); });
  }
}

}  // namespace ehrjepa::model
