// DKIM signing (RFC 6376 §5, RFC 8301, RFC 8463): one pass over the message, any number of keys.
//
//   DkimSigner signer(options);
//   MessageScan scan({&signer});
//   scan.Feed(…); scan.Finish();
//   StatusOr<std::string> fields = signer.Sign(now);   // goes in front of the message
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"
#include "lib/core/trust/dkim_key.h"
#include "lib/core/trust/message_scan.h"

namespace postern::trust {

// DkimSigningKey is one signature to make.
struct DkimSigningKey {
  std::shared_ptr<const PrivateKey> key;
  std::string domain;    // d=, a DNS name; U-labels are written as A-labels
  std::string selector;  // s=
  std::string identity;  // i=, "user@domain" or "@domain", at or below `domain`; empty: left out
};

// DefaultSignedFields are those that RFC 6376 §5.4.1 recommends, and MIME's, which decide what a
// reader sees. Trace fields are not among them: they change on the way.
const std::vector<std::string>& DefaultSignedFields();
// DefaultOversignedFields are those of which a second one would show the reader something else.
const std::vector<std::string>& DefaultOversignedFields();

struct DkimSignOptions {
  std::vector<DkimSigningKey> keys;
  Canonicalization header_canonicalization = Canonicalization::kRelaxed;
  Canonicalization body_canonicalization = Canonicalization::kRelaxed;
  // Every field of these names is signed, and From always.
  std::vector<std::string> fields = DefaultSignedFields();
  // Of these names one more is signed than there are, so that none can be added (§8.15).
  std::vector<std::string> oversigned = DefaultOversignedFields();
  bool timestamp = true;           // t=
  Duration expires_after;          // x= is t= and this; zero: no x=
  size_t max_signed_fields = 500;  // ours: names in h=
};

// CheckDkimSignOptions says what is wrong with `options` before any message is there: no key, a
// domain or selector that is no DNS name, an identity that is not of its domain.
Status CheckDkimSignOptions(const DkimSignOptions& options);

// CheckSignableHeader says whether a field may be put in front of `header` and signed with it:
// kInvalidArgument for a message without exactly one From field, which receivers refuse (RFC 5322
// §3.6), and for one that begins with a continuation, which would go on with what is put before it.
Status CheckSignableHeader(const HeaderFields& header);

// ChooseSignedFields gives the names for h=: each name of `fields` as often as the header has it,
// and those of `oversigned` once more. kResourceExhausted past `most`.
StatusOr<std::vector<std::string>> ChooseSignedFields(const HeaderFields& header,
                                                      const std::vector<std::string>& fields,
                                                      const std::vector<std::string>& oversigned,
                                                      size_t most);

// DkimSigner signs one message. Not thread-safe; the keys may be shared by many.
class DkimSigner : public MessageScan::Reader {
 public:
  explicit DkimSigner(DkimSignOptions options);
  ~DkimSigner() override;

  void OnHeader(const HeaderFields& header, BodyHasher& body) override;
  void OnUnreadable(const char* reason, std::string why) override;

  // Sign gives the DKIM-Signature fields, each with its CRLF, in the order of the keys, to be put
  // in front of the message. After the scan's Finish. The same message, options and time give the
  // same octets. kInvalidArgument: the options (CheckDkimSignOptions) or the header
  // (CheckSignableHeader); kResourceExhausted: a header over a limit.
  StatusOr<std::string> Sign(WallTime now) const;

 private:
  DkimSignOptions options_;
  const HeaderFields* header_ = nullptr;
  const BodyHasher* body_ = nullptr;
  int body_number_ = -1;
  std::string unreadable_;
};

// SignDkim signs a whole message that is in memory.
StatusOr<std::string> SignDkim(std::string_view message, const MessageScanOptions& scan_options,
                               DkimSignOptions options, WallTime now);

}  // namespace postern::trust
