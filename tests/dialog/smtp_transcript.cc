#include "tests/dialog/smtp_transcript.h"

#include <algorithm>
#include <fstream>
#include <regex>

#include "lib/core/base/strings.h"

namespace postern::smtp {
namespace {

bool SetOption(ServerOptions& options, const std::string& name, const std::string& value) {
  const std::map<std::string, bool*> flags = {
      {"tls_available", &options.tls_available},
      {"tls_required", &options.tls_required},
      {"auth_available", &options.auth_available},
      {"auth_required", &options.auth_required},
      {"auth_without_tls", &options.auth_without_tls},
      {"refuse_bare_line_ends", &options.refuse_bare_line_ends},
      {"close_after_bare_line_ends", &options.close_after_bare_line_ends},
      {"accept_bare_lf_in_commands", &options.accept_bare_lf_in_commands},
  };
  const std::map<std::string, uint64_t*> numbers = {
      {"max_message_bytes", &options.max_message_bytes},
      {"max_recipients", &options.max_recipients},
      {"max_messages", &options.max_messages},
      {"max_command_line_bytes", &options.max_command_line_bytes},
      {"max_auth_line_bytes", &options.max_auth_line_bytes},
      {"max_text_line_bytes", &options.max_text_line_bytes},
      {"max_overlong_line_bytes", &options.max_overlong_line_bytes},
      {"max_discard_bytes", &options.max_discard_bytes},
      {"max_errors", &options.max_errors},
      {"max_refused_recipients", &options.max_refused_recipients},
      {"max_auth_failures", &options.max_auth_failures},
      {"max_idle_commands", &options.max_idle_commands},
  };
  if (const auto flag = flags.find(name); flag != flags.end())
    return *flag->second = value == "1", true;
  if (const auto number = numbers.find(name); number != numbers.end())
    return *number->second = *ParseUint(value), true;
  if (name == "hostname") return options.hostname = value, true;
  if (name == "qualify_domain") return options.qualify_domain = value, true;
  if (name == "without") {
    const std::map<std::string, Extension> bits = {
        {"SIZE", kExtensionSize},
        {"CHUNKING", kExtensionChunking},
        {"DSN", kExtensionDsn},
        {"SMTPUTF8", kExtensionSmtpUtf8},
        {"ENHANCEDSTATUSCODES", kExtensionEnhancedCodes}};
    return options.extensions &= ~static_cast<uint32_t>(bits.at(value)), true;
  }
  return false;
}

bool TakeSetting(const Step& step, Transcript& transcript) {
  const std::vector<std::string_view> words = SplitWords(step.text);
  if (words.empty()) return false;
  if (words[0] == "option")
    return words.size() == 3 &&
           SetOption(transcript.options, std::string(words[1]), std::string(words[2]));
  if (words[0] == "in-tls") return transcript.tls_from_start = true;
  if (words[0] != "refuse" && words[0] != "disconnect" && words[0] != "accept") return true;
  if (words.size() < 4) return false;
  const size_t reply_at = static_cast<size_t>(words[2].data() + words[2].size() - step.text.data());
  const auto reply = mail::Reply::FromText(std::string_view(step.text).substr(reply_at), true);
  if (!reply.ok()) return false;
  Decision decision = words[0] == "accept" ? Decision::Accept(*reply) : Decision::Refuse(*reply);
  if (words[0] == "disconnect") decision = Decision::Disconnect(*reply);
  transcript.decisions.emplace(StrCat(words[1], " ", words[2]), decision);
  return true;
}

}  // namespace

Transcript ReadTranscript(const std::filesystem::path& path) {
  Transcript transcript;
  transcript.options.hostname = "mx.example.org";
  std::ifstream stream(path);
  std::string line;
  for (int number = 1; std::getline(stream, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    const size_t skip = line[0] == '@' ? 1 : 2;
    Step step{number, line.substr(0, skip), line.size() > skip ? line.substr(skip) : ""};
    if (!step.text.empty() && step.text[0] == ' ') step.text.erase(0, 1);
    if (step.kind == "@" && !TakeSetting(step, transcript))
      transcript.mistakes.push_back(StrCat("line ", number, ": ", line));
    transcript.steps.push_back(std::move(step));
  }
  return transcript;
}

std::vector<std::filesystem::path> Transcripts(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".dialog") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out.push_back(text[i]);
      continue;
    }
    const char c = text[++i];
    if (c == 'r') out.push_back('\r');
    if (c == 'n') out.push_back('\n');
    if (c == '0') out.push_back('\0');
    if (c == '\\') out.push_back('\\');
    if (c == 'x') {
      out.append(HexDecode(text.substr(i + 1, 2)).value());
      i += 2;
    }
    if (c == '{') {
      const size_t star = text.find('*', i);
      const size_t close = text.find('}', star);
      const std::string piece = Unescape(text.substr(i + 1, star - i - 1));
      for (uint64_t n = ParseUint(text.substr(star + 1, close - star - 1)).value(); n > 0; --n)
        out.append(piece);
      i = close;
    }
  }
  return out;
}

bool LineMatches(const Step& step, const std::string& line) {
  if (step.kind == "S~") return std::regex_match(line, std::regex(step.text));
  if (!step.text.ends_with("...")) return line == step.text;
  const std::string_view start = std::string_view(step.text).substr(0, step.text.size() - 3);
  return std::string_view(line).starts_with(start);
}

std::string TestName(const std::filesystem::path& path) {
  std::string name = path.stem().string();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

}  // namespace postern::smtp
