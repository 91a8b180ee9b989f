// DKIM in C++: keys, signing, verifying. See dkim.h.
#ifndef POSTERN_DKIM_HPP
#define POSTERN_DKIM_HPP

#include "dkim.h"
#include "dns.hpp"
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

// DkimKey is a private key with what its DNS record says.
class DkimKey {
 public:
  // FromPem reads PKCS#1 or PKCS#8, RSA or Ed25519.
  static Result<DkimKey> FromPem(std::string_view pem) {
    postern_dkim_key* made = nullptr;
    postern_error* error = nullptr;
    const postern_status status = postern_dkim_key_new_pem(&made, pem.data(), pem.size(), &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return DkimKey(made);
  }
  // Generate makes a key of POSTERN_DKIM_KEY_*; `bits` of RSA, 0 for 2048.
  static Result<DkimKey> Generate(int32_t kind, uint32_t bits = 0) {
    postern_dkim_key* made = nullptr;
    postern_error* error = nullptr;
    const postern_status status = postern_dkim_key_generate(&made, kind, bits, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return DkimKey(made);
  }

  int32_t kind() const { return postern_dkim_key_kind(key_.get()); }
  uint32_t bits() const { return postern_dkim_key_bits(key_.get()); }
  std::string_view pem() const { return postern_dkim_key_pem(key_.get()); }
  std::string_view record() const { return postern_dkim_key_record(key_.get()); }
  // ZoneLine is the record as a zone file has it.
  std::string ZoneLine(const std::string& domain, const std::string& selector) {
    return postern_dkim_key_zone_line(key_.get(), domain.c_str(), selector.c_str());
  }
  // get lends the handle, for the C API.
  const postern_dkim_key* get() const { return key_.get(); }

 private:
  struct Free {
    void operator()(postern_dkim_key* key) const { postern_dkim_key_free(key); }
  };
  explicit DkimKey(postern_dkim_key* key) : key_(key) {}
  std::unique_ptr<postern_dkim_key, Free> key_;
};

// DkimSigner signs one message that passes in pieces.
class DkimSigner {
 public:
  static Result<DkimSigner> New(
      const postern_dkim_sign_options& options = POSTERN_DKIM_SIGN_OPTIONS_INIT) {
    postern_dkim_signer* made = nullptr;
    postern_error* error = nullptr;
    const postern_status status = postern_dkim_signer_new(&made, &options, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return DkimSigner(made);
  }
  // AddKey asks for one signature more. Before the first Feed.
  Result<Done> AddKey(const DkimKey& key, const std::string& domain, const std::string& selector,
                      const std::string& identity = "") {
    postern_error* error = nullptr;
    const postern_status status =
        postern_dkim_signer_add_key(signer_.get(), key.get(), domain.c_str(), selector.c_str(),
                                    identity.empty() ? nullptr : identity.c_str(), &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return Done{};
  }
  Result<Done> Feed(std::string_view octets) {
    postern_error* error = nullptr;
    const postern_status status =
        postern_dkim_signer_feed(signer_.get(), octets.data(), octets.size(), &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return Done{};
  }
  // Finish gives the fields to put in front of the message.
  Result<std::string> Finish() {
    postern_str fields;
    postern_error* error = nullptr;
    const postern_status status = postern_dkim_signer_finish(signer_.get(), &fields, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return std::string(internal::View(fields));
  }

 private:
  struct Free {
    void operator()(postern_dkim_signer* signer) const { postern_dkim_signer_free(signer); }
  };
  explicit DkimSigner(postern_dkim_signer* signer) : signer_(signer) {}
  std::unique_ptr<postern_dkim_signer, Free> signer_;
};

// Dkim is the outcome for one message. Views live as long as it does.
class Dkim {
 public:
  struct Signature {
    int32_t result = POSTERN_DKIM_NONE;
    std::string_view reason, explanation, domain, selector, identity, algorithm;
    uint32_t key_bits = 0;
    bool testing = false;
    uint64_t unsigned_body_bytes = 0;
  };

  int32_t result() const { return postern_dkim_result(dkim_.get()); }  // POSTERN_DKIM_*
  bool passed() const { return result() == POSTERN_DKIM_PASS; }
  std::string_view result_name() const { return postern_dkim_result_name(dkim_.get()); }
  std::string_view reason() const { return postern_dkim_reason(dkim_.get()); }
  std::string_view explanation() const { return postern_dkim_explanation(dkim_.get()); }
  std::vector<Signature> signatures() const {
    const postern_dkim* dkim = dkim_.get();
    std::vector<Signature> signatures(postern_dkim_signature_count(dkim));
    for (size_t i = 0; i < signatures.size(); ++i) {
      Signature& each = signatures[i];
      each.result = postern_dkim_signature_result(dkim, i);
      each.reason = postern_dkim_signature_reason(dkim, i);
      each.explanation = postern_dkim_signature_explanation(dkim, i);
      each.domain = postern_dkim_signature_domain(dkim, i);
      each.selector = postern_dkim_signature_selector(dkim, i);
      each.identity = postern_dkim_signature_identity(dkim, i);
      each.algorithm = postern_dkim_signature_algorithm(dkim, i);
      each.key_bits = postern_dkim_signature_key_bits(dkim, i);
      each.testing = postern_dkim_signature_testing(dkim, i) != 0;
      each.unsigned_body_bytes = postern_dkim_signature_unsigned_body_bytes(dkim, i);
    }
    return signatures;
  }
  std::string_view json() const { return postern_dkim_json(dkim_.get()); }

 private:
  friend class DkimVerifier;
  struct Free {
    void operator()(postern_dkim* dkim) const { postern_dkim_free(dkim); }
  };
  explicit Dkim(postern_dkim* dkim) : dkim_(dkim) {}
  std::unique_ptr<postern_dkim, Free> dkim_;
};

// DkimVerifier checks one message that passes in pieces.
class DkimVerifier {
 public:
  static Result<DkimVerifier> New(
      const postern_dkim_verify_options& options = POSTERN_DKIM_VERIFY_OPTIONS_INIT) {
    postern_dkim_verifier* made = nullptr;
    postern_error* error = nullptr;
    const postern_status status = postern_dkim_verifier_new(&made, &options, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return DkimVerifier(made);
  }
  Result<Done> Feed(std::string_view octets) {
    postern_error* error = nullptr;
    const postern_status status =
        postern_dkim_verifier_feed(verifier_.get(), octets.data(), octets.size(), &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return Done{};
  }
  // Finish asks `resolver` for the keys, and blocks meanwhile.
  Result<Dkim> Finish(const Resolver& resolver) {
    postern_dkim* made = nullptr;
    postern_error* error = nullptr;
    const postern_status status =
        postern_dkim_verifier_finish(verifier_.get(), resolver.get(), &made, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return Dkim(made);
  }

 private:
  struct Free {
    void operator()(postern_dkim_verifier* verifier) const { postern_dkim_verifier_free(verifier); }
  };
  explicit DkimVerifier(postern_dkim_verifier* verifier) : verifier_(verifier) {}
  std::unique_ptr<postern_dkim_verifier, Free> verifier_;
};

}  // namespace postern

#endif  // POSTERN_DKIM_HPP
