// A filter program of smtpd-filters(7) that lets everything through: it registers for the phases
// that are its arguments ("data-line" is one) and answers as fast as it can. Both servers of
// bench/compare/filters run this one, which knows nothing of either.
#include <cstring>
#include <string>
#include <string_view>
#include <unistd.h>

namespace {

constexpr size_t kReadBytes = 64 << 10;

void WriteAll(std::string* out) {
  std::string_view left = *out;
  while (!left.empty()) {
    const ssize_t put = ::write(1, left.data(), left.size());
    if (put <= 0) _exit(1);
    left.remove_prefix(static_cast<size_t>(put));
  }
  out->clear();
}

// Field takes what stands before the next '|'.
std::string_view Field(std::string_view* rest) {
  const size_t bar = rest->find('|');
  const std::string_view field = rest->substr(0, bar);
  rest->remove_prefix(bar == std::string_view::npos ? rest->size() : bar + 1);
  return field;
}

void Answer(std::string_view line, int argc, char** argv, std::string* out) {
  if (line == "config|ready") {
    for (int i = 1; i < argc; ++i)
      out->append("register|filter|smtp-in|").append(argv[i]).append("\n");
    out->append("register|ready\n");
    return;
  }
  std::string_view rest = line;
  if (Field(&rest) != "filter") return;
  Field(&rest);  // version
  Field(&rest);  // time
  Field(&rest);  // smtp-in
  const std::string_view phase = Field(&rest), session = Field(&rest), token = Field(&rest);
  const bool content = phase == "data-line";
  out->append(content ? "filter-dataline|" : "filter-result|");
  out->append(session).append("|").append(token).append("|");
  out->append(content ? rest : std::string_view("proceed")).append("\n");
}

}  // namespace

int main(int argc, char** argv) {
  std::string in, out;
  std::string buffer(kReadBytes, '\0');
  for (;;) {
    const ssize_t got = ::read(0, buffer.data(), buffer.size());
    if (got <= 0) return 0;
    in.append(buffer.data(), static_cast<size_t>(got));
    size_t at = 0;
    for (size_t end; (end = in.find('\n', at)) != std::string::npos; at = end + 1)
      Answer(std::string_view(in).substr(at, end - at), argc, argv, &out);
    in.erase(0, at);
    if (!out.empty()) WriteAll(&out);
  }
}
