#include <ATen/Parallel.h>

#include <iostream>
#include <stdexcept>
#include <string>

#include "memory/caching_allocator.h"
#include "native/check.h"

/// Runs the tests whose name holds the first argument (all without one) and prints TAP.
int main(int count, char** arguments) {
  ehrjepa::memory::use_caching_allocator();  // as the engine does
  const std::string filter = count > 1 ? arguments[1] : "";
  // One that changed it would change the sums of those behind it.
  const int threads = at::get_num_threads();
  int number = 0;
  int failed = 0;
  std::cout << "TAP version 14\n";
  for (const check::Test& test : check::tests()) {
    if (test.name.find(filter) == std::string::npos) continue;
    ++number;
    try {
      test.run();
      if (at::get_num_threads() != threads) {
        const std::string left = std::to_string(at::get_num_threads());
        at::set_num_threads(threads);
        throw std::runtime_error("a test must leave " + std::to_string(threads) + " threads but leaves " + left);
      }
      std::cout << "ok " << number << " - " << test.name << std::endl;
    } catch (const check::Skipped& reason) {
      std::cout << "ok " << number << " - " << test.name << " # SKIP " << reason.what() << std::endl;
    } catch (const std::exception& error) {
      ++failed;
      std::cout << "not ok " << number << " - " << test.name << "\n# " << error.what() << std::endl;
    }
  }
  std::cout << "1.." << number << std::endl;
  return failed == 0 ? 0 : 1;
}
