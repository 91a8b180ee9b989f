// Command line of the clients: `--name value` pairs with defaults.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace postern::bench {

class Arguments {
 public:
  Arguments(int argc, char** argv) : given_(argv + 1, argv + argc) {}

  std::string Text(const char* name, const std::string& otherwise) {
    known_.emplace_back(name);
    for (size_t i = 0; i + 1 < given_.size(); i += 2) {
      if (given_[i] == name) return given_[i + 1];
    }
    return otherwise;
  }
  size_t Number(const char* name, size_t otherwise) {
    const std::string text = Text(name, "");
    return text.empty() ? otherwise : std::strtoull(text.c_str(), nullptr, 10);
  }
  // Texts gives each value of a name that may be repeated.
  std::vector<std::string> Texts(const char* name) {
    known_.emplace_back(name);
    std::vector<std::string> all;
    for (size_t i = 0; i + 1 < given_.size(); i += 2) {
      if (given_[i] == name) all.push_back(given_[i + 1]);
    }
    return all;
  }
  // Check ends the program with `usage` when anything was given that nobody asked for.
  void Check(const char* usage) const {
    bool good = given_.size() % 2 == 0;
    for (size_t i = 0; i < given_.size(); i += 2) {
      bool found = false;
      for (const std::string& name : known_) found = found || name == given_[i];
      good = good && found;
    }
    if (good) return;
    std::fputs(usage, stderr);
    std::exit(2);
  }

 private:
  std::vector<std::string> given_;
  std::vector<std::string> known_;
};

}  // namespace postern::bench
