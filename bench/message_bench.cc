// The message parser alone: structure and headers of a generated message of `parts` parts, in
// octets a second.
#include <string>

#include <benchmark/benchmark.h>

#include "lib/core/base/strings.h"
#include "lib/core/message/parser.h"

namespace postern::message {
namespace {

std::string MakeMessage(int64_t parts, size_t part_bytes) {
  std::string text =
      "From: A <a@example.org>\r\nTo: B <b@example.com>\r\nSubject: bench\r\nMIME-Version: 1.0\r\n";
  for (int i = 0; i < 20; ++i)
    StrAppend(text, "X-Trace-", i, ": from mx.example.org by mx.example.com; some longer text\r\n");
  if (parts > 1) text += "Content-Type: multipart/mixed; boundary=\"=_b\"\r\n";
  text += "\r\n";
  for (int64_t part = 0; part < parts; ++part) {
    if (parts > 1)
      text +=
          "--=_b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
          "8bit\r\n\r\n";
    for (size_t size = 0; size < part_bytes; size += 78) text.append(76, 'x').append("\r\n");
  }
  if (parts > 1) text += "--=_b--\r\n";
  return text;
}

void BM_ParseMessage(benchmark::State& state) {
  const std::string text = MakeMessage(state.range(0), static_cast<size_t>(state.range(1)));
  for (auto _ : state) benchmark::DoNotOptimize(ParseMessage(text));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(BM_ParseMessage)
    ->Args({1, 4096})
    ->Args({3, 16 * 1024})
    ->Args({10, 64 * 1024})
    ->Args({2, 1 << 20});

}  // namespace
}  // namespace postern::message

BENCHMARK_MAIN();
