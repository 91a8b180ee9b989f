// libopendkim on the message that dkim_bench measures, with the same key: nanoseconds of the
// processor to sign and to verify it, as one line of JSON. Keys come from memory. It reads the
// private key for each signature and the public key for each verification; it has no way to keep
// them. "raw" is one RSA operation of the OpenSSL beneath it, with the key read once.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

// A C header that names _Bool.
#define _Bool bool
#include <dkim.h>
#undef _Bool
#include "bench/dkim_message.h"
#include "tests/unit/core/trust/signature_test_keys.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

namespace {

std::string g_record;  // the key record, for the callback

u_char* Chars(const char* s) { return reinterpret_cast<u_char*>(const_cast<char*>(s)); }

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "dkim_opendkim: %s\n", what);
  std::exit(1);
}

DKIM_CBSTAT Lookup(DKIM*, DKIM_SIGINFO*, u_char* buffer, size_t size) {
  if (g_record.size() + 1 > size) return DKIM_CBSTAT_ERROR;
  std::memcpy(buffer, g_record.c_str(), g_record.size() + 1);
  return DKIM_CBSTAT_CONTINUE;
}

std::string RecordOf(const char* pem) {
  BIO* in = BIO_new_mem_buf(pem, -1);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
  if (key == nullptr) Fail("the key cannot be read");
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  std::string text(static_cast<size_t>(size) * 2, '\0');
  text.resize(static_cast<size_t>(
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), der, size)));
  OPENSSL_free(der);
  EVP_PKEY_free(key);
  BIO_free(in);
  return "v=DKIM1; k=rsa; p=" + text;
}

struct Message {
  std::vector<std::string> fields;
  std::string body;
};
Message SplitMessage(const std::string& text) {
  Message message;
  const size_t end = text.find("\r\n\r\n");
  message.body = text.substr(end + 4);
  size_t at = 0;
  while (at < end) {
    size_t next = text.find("\r\n", at);
    while (next < end && (text[next + 2] == ' ' || text[next + 2] == '\t'))
      next = text.find("\r\n", next + 2);
    message.fields.push_back(text.substr(at, next - at));
    at = next + 2;
  }
  return message;
}

void Feed(DKIM* dkim, const Message& message) {
  for (const std::string& field : message.fields)
    if (dkim_header(dkim, Chars(field.c_str()), field.size()) != DKIM_STAT_OK) Fail("dkim_header");
  if (dkim_eoh(dkim) != DKIM_STAT_OK) Fail("dkim_eoh");
  if (dkim_body(dkim, Chars(message.body.data()), message.body.size()) != DKIM_STAT_OK)
    Fail("dkim_body");
}

// NsEach gives the processor's time for one call, which other programs disturb less than the
// clock's.
template <typename Call>
double NsEach(Call call) {
  for (int i = 0; i < 20; ++i) call();
  int64_t count = 0;
  const std::clock_t start = std::clock();
  std::clock_t now = start;
  while (now - start < CLOCKS_PER_SEC) {
    for (int i = 0; i < 20; ++i) call();
    count += 20;
    now = std::clock();
  }
  return static_cast<double>(now - start) * 1e9 / CLOCKS_PER_SEC / static_cast<double>(count);
}

// RawOperations measures OpenSSL's own signing and verifying of one hash.
void RawOperations(const char* pem, double* sign_ns, double* verify_ns) {
  BIO* in = BIO_new_mem_buf(pem, -1);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
  BIO_free(in);
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new(key, nullptr);
  const auto use = [&](int (*begin)(EVP_PKEY_CTX*)) {
    if (begin(context) <= 0 || EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) <= 0 ||
        EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) <= 0)
      Fail("EVP_PKEY_CTX");
  };
  unsigned char digest[32] = {1};
  unsigned char signature[256];
  size_t size = sizeof signature;
  use(EVP_PKEY_sign_init);
  *sign_ns = NsEach([&] {
    size = sizeof signature;
    if (EVP_PKEY_sign(context, signature, &size, digest, sizeof digest) <= 0) Fail("EVP_PKEY_sign");
  });
  use(EVP_PKEY_verify_init);
  *verify_ns = NsEach([&] {
    if (EVP_PKEY_verify(context, signature, size, digest, sizeof digest) <= 0)
      Fail("EVP_PKEY_verify");
  });
  EVP_PKEY_CTX_free(context);
  EVP_PKEY_free(key);
}

}  // namespace

int main() {
  const char* pem = postern::trust::kRsaPkcs1Pem;
  g_record = RecordOf(pem);
  DKIM_LIB* lib = dkim_init(nullptr, nullptr);
  if (lib == nullptr) Fail("dkim_init");
  dkim_set_key_lookup(lib, Lookup);
  const std::string text = postern::bench::MakeMessage(4096);
  const Message message = SplitMessage(text);
  std::string field;
  const double sign_ns = NsEach([&] {
    DKIM_STAT status;
    DKIM* dkim =
        dkim_sign(lib, Chars("bench"), nullptr, Chars(pem), Chars("s"), Chars("example.org"),
                  DKIM_CANON_RELAXED, DKIM_CANON_RELAXED, DKIM_SIGN_RSASHA256, -1, &status);
    if (dkim == nullptr) Fail("dkim_sign");
    Feed(dkim, message);
    if (dkim_eom(dkim, nullptr) != DKIM_STAT_OK) Fail("signing: dkim_eom");
    u_char out[2048];
    if (dkim_getsighdr(dkim, out, sizeof out, sizeof DKIM_SIGNHEADER) != DKIM_STAT_OK)
      Fail("dkim_getsighdr");
    field = reinterpret_cast<char*>(out);
    dkim_free(dkim);
  });
  // Its text has bare line feeds before continuations.
  std::string folded = std::string(DKIM_SIGNHEADER) + ": ";
  for (const char c : field) {
    if (c == '\n' && folded.back() != '\r') folded += '\r';
    folded += c;
  }
  Message signed_message = message;
  signed_message.fields.insert(signed_message.fields.begin(), folded);
  const double verify_ns = NsEach([&] {
    DKIM_STAT status;
    DKIM* dkim = dkim_verify(lib, Chars("bench"), nullptr, &status);
    if (dkim == nullptr) Fail("dkim_verify");
    Feed(dkim, signed_message);
    if (dkim_eom(dkim, nullptr) != DKIM_STAT_OK) Fail("verifying: dkim_eom");
    dkim_free(dkim);
  });
  double raw_sign_ns = 0, raw_verify_ns = 0;
  RawOperations(pem, &raw_sign_ns, &raw_verify_ns);
  std::printf(
      "{\"library\": \"libopendkim\", \"sign_ns\": %.0f, \"verify_ns\": %.0f, \"raw_sign_ns\": "
      "%.0f, "
      "\"raw_verify_ns\": %.0f}\n",
      sign_ns, verify_ns, raw_sign_ns, raw_verify_ns);
  dkim_close(lib);
  return 0;
}
