#include <iostream>
#include <string>

#include "memory/caching_allocator.h"
#include "native/check.h"

/// Runs the tests whose name holds the first argument (all without one) and prints TAP.
int main(int count, char** arguments) {
  ehrjepa::memory::use_caching_allocator();  // as the engine does
  const std::string filter = count > 1 ? arguments[1] : "";
  int number = 0;
  int failed = 0;
  std::cout << "TAP version 14\n";
  for (const check::Test& test : check::tests()) {
    if (test.name.find(filter) == std::string::npos) continue;
    ++number;
    try {
      test.run();
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
