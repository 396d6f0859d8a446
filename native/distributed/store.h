#pragma once
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "contract/ranks.h"

namespace ehrjepa::distributed {

/// The store at which ranks meet, under the prefix of this attempt: served by this process where the options say so.
/// @throws RankError when the port is taken, or nothing answers in time.
c10::intrusive_ptr<c10d::Store> open_store(const GroupOptions& options);

/// A second connection to it, for another thread: calls of one connection wait for one another.
c10::intrusive_ptr<c10d::Store> connect_again(const GroupOptions& options);

void put(c10d::Store& store, const std::string& key, const std::string& text);
/// Waits until the key is there, as long as the store's timeout.
std::string take(c10d::Store& store, const std::string& key);
/// Writes a text where there is none. @return what is there then.
std::string put_first(c10d::Store& store, const std::string& key, const std::string& text);

}  // namespace ehrjepa::distributed
