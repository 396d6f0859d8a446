#pragma once
#include <cmath>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

/// A minimal harness: tests register themselves, main.cpp runs those whose name holds a given word and prints TAP.
namespace check {

struct Test {
  std::string name;
  std::function<void()> run;
};
inline std::vector<Test>& tests() {
  static std::vector<Test> list;
  return list;
}
struct Registrar {
  Registrar(std::string name, std::function<void()> run) { tests().push_back({std::move(name), std::move(run)}); }
};
/// A test that cannot run on this machine; the reason is printed.
struct Skipped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[noreturn]] inline void fail(const char* file, int line, const std::string& message) {
  throw std::runtime_error(std::string(file) + ":" + std::to_string(line) + ": " + message);
}

template <typename Function>
std::string message_thrown(const Function& function) {
  try {
    function();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace check

#define EXPECT_JOIN2(a, b) a##b
#define EXPECT_JOIN(a, b) EXPECT_JOIN2(a, b)
#define TEST(name)                                                                                      \
  static void EXPECT_JOIN(test_, __LINE__)();                                                           \
  static const check::Registrar EXPECT_JOIN(registrar_, __LINE__)(name, &EXPECT_JOIN(test_, __LINE__)); \
  static void EXPECT_JOIN(test_, __LINE__)()
#define EXPECT(condition)                                                       \
  do {                                                                          \
    if (!(condition)) check::fail(__FILE__, __LINE__, "not true: " #condition); \
  } while (false)
#define EXPECT_LE(found, limit)                                              \
  do {                                                                       \
    const double found_ = (found), limit_ = (limit);                         \
    if (!(found_ <= limit_)) {                                               \
      std::ostringstream text_;                                              \
      text_ << #found " is " << found_ << " but must be at most " << limit_; \
      check::fail(__FILE__, __LINE__, text_.str());                          \
    }                                                                        \
  } while (false)
#define EXPECT_CLOSE(found, expected, tolerance) EXPECT_LE(std::abs((found) - (expected)), (tolerance))
#define EXPECT_THROWS(expression, part)                                                                           \
  do {                                                                                                            \
    const std::string message_ = check::message_thrown([&] { (void)(expression); });                              \
    if (message_.find(part) == std::string::npos) {                                                               \
      check::fail(__FILE__, __LINE__, "must throw \"" + std::string(part) + "\" but threw \"" + message_ + "\""); \
    }                                                                                                             \
  } while (false)
