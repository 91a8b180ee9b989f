// Reads the transcripts of tests/dialog/smtp (README.md says what their lines mean).
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/smtp/server_options.h"
#include "lib/core/smtp/server_session.h"

namespace postern::smtp {

struct Step {
  int line_number = 0;
  std::string kind;  // "C:", "C=", "S:", "S~", "E:", "M:", "@"
  std::string text;
};

// Transcript is one file: its steps, and what its "@" lines ask for before it starts.
struct Transcript {
  std::vector<Step> steps;
  ServerOptions options;
  bool tls_from_start = false;
  std::map<std::string, Decision> decisions;  // by "EVENT SUBJECT"
  std::vector<std::string> mistakes;          // lines that are not understood
};

Transcript ReadTranscript(const std::filesystem::path& path);

// Transcripts lists all files, in order.
std::vector<std::filesystem::path> Transcripts(const std::filesystem::path& folder);

// Unescape reads \r \n \0 \\ \xHH, and \{TEXT*COUNT} for repetition.
std::string Unescape(std::string_view text);

// LineMatches tells whether a reply line is what an "S:" or "S~" step wants.
bool LineMatches(const Step& step, const std::string& line);

// TestName makes a name for a test out of a file's.
std::string TestName(const std::filesystem::path& path);

}  // namespace postern::smtp
