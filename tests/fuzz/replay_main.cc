// Runs a fuzz target over files, without a fuzzing engine: each file as it is, and a few hundred
// small changes of it that are the same in every run.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kChangesPerFile = 200;

void Run(const std::string& input) {
  // A copy of exactly the right size on the heap, so that a sanitizer sees every read behind its
  // end.
  const std::vector<uint8_t> octets(input.begin(), input.end());
  LLVMFuzzerTestOneInput(octets.data(), octets.size());
}

// SplitMix64, for changes that are the same everywhere.
uint64_t Next(uint64_t& state) {
  uint64_t z = (state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

std::string Change(std::string input, uint64_t& state) {
  static constexpr char kInteresting[] = {'\r', '\n', '\0', '.', ' ', '<', '>',    '"',
                                          '\\', '=',  '(',  ')', '{', '}', '\x80', '\xff'};
  for (uint64_t edits = 1 + Next(state) % 3; edits > 0; --edits) {
    const size_t at = input.empty() ? 0 : Next(state) % input.size();
    switch (Next(state) % 5) {
      case 0: input.resize(at); break;
      case 1:
        if (!input.empty()) input[at] = static_cast<char>(Next(state));
        break;
      case 2: input.insert(at, 1, kInteresting[Next(state) % sizeof kInteresting]); break;
      case 3: input.erase(at, 1 + Next(state) % 8); break;
      default: input.insert(at, input.substr(at, Next(state) % 64)); break;
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    std::filesystem::path path = argv[i];
    if (std::string(argv[i]) == "--conformance" && i + 1 < argc) {
      const char* root = std::getenv("POSTERN_CONFORMANCE_DIR");
      if (root == nullptr) root = std::getenv("POSTERN_CONFORMANCE_DEFAULT");
      path = std::filesystem::path(root == nullptr ? "." : root) / argv[++i];
      if (!std::filesystem::exists(path)) {
        std::printf("skipped: %s is not there\n", path.c_str());
        return 0;
      }
    }
    if (std::filesystem::is_directory(path)) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
        if (entry.is_regular_file()) files.push_back(entry.path());
      }
    } else {
      files.push_back(path);
    }
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    std::printf("no corpus\n");
    return 1;
  }
  uint64_t state = 1;
  for (const std::filesystem::path& file : files) {
    std::ifstream stream(file, std::ios::binary);
    const std::string input((std::istreambuf_iterator<char>(stream)),
                            std::istreambuf_iterator<char>());
    Run(input);
    for (int i = 0; i < kChangesPerFile; ++i) Run(Change(input, state));
  }
  Run("");
  std::printf("%zu files, %d changes of each\n", files.size(), kChangesPerFile);
  return 0;
}
