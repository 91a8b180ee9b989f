#include "lib/core/message/address_list.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::message {
namespace {

// Print writes name|local|domain, "{name" and "}" for the bounds of groups.
std::string Print(const std::vector<Mailbox>& list) {
  std::string out;
  for (const Mailbox& mailbox : list) {
    if (!out.empty()) out += ", ";
    switch (mailbox.kind) {
      case Mailbox::Kind::kGroupStart: StrAppend(out, "{", mailbox.name); break;
      case Mailbox::Kind::kGroupEnd: out += "}"; break;
      case Mailbox::Kind::kAddress:
        StrAppend(out, mailbox.name, "|", mailbox.local_part, "|", mailbox.domain);
        break;
    }
  }
  return out;
}

TEST(AddressList, ReadsWhatMailHas) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"a@b.example", "|a|b.example"},
      {"<a@b.example>", "|a|b.example"},
      {"\"Joe Q. Public\" <john.q.public@example.com>", "Joe Q. Public|john.q.public|example.com"},
      {"Joe Q. Public <john.q.public@example.com>", "Joe Q. Public|john.q.public|example.com"},
      {"Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
       "Mary Smith|mary|x.test, |jdoe|example.org, Who?|one|y.test"},
      {"A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
       "{A Group, Ed Jones|c|a.test, |joe|where.test, John|jdoe|one.test, }"},
      {"Undisclosed recipients:;", "{Undisclosed recipients, }"},
      {"a@b.example, undisclosed:;, c@d.example", "|a|b.example, {undisclosed, }, |c|d.example"},
      {"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "Pete|pete|silly.test"},
      {"a@b.example (Alice)", "Alice|a|b.example"},
      {"<a@b.example> (Alice (of \"b\"))", "Alice (of \"b\")|a|b.example"},
      {"<@x.test,@y.test:jdoe@machine.test>", "|jdoe|machine.test"},
      {"1234   @   local(blah)  .machine .example", "blah|1234|local.machine.example"},
      {"\"a b\"@c.example", "|a b|c.example"},
      {"x <\"a@b\"@c.example>", "x|a@b|c.example"},
      {"a@[192.0.2.1]", "|a|[192.0.2.1]"},
      {", ,a@b,, c@d,", "|a|b, |c|d"},
      {"a@b <a@b>", "a@b|a|b"},
      {"a <b@c> d <e@f>", "a|b|c, d|e|f"},
      {"<a@b><c@d>", "|a|b, |c|d"},
      {"name <a@b.example", "name|a|b.example"},
      {"name <a@b.example, c <d@e>", "name|a|b.example, c|d|e"},
      {"\"unclosed <a@b.example>", "|unclosed <a@b.example>|"},
      {"=?utf-8?Q?D=C3=B6rte?= <d@e.example>", "=?utf-8?Q?D=C3=B6rte?=|d|e.example"},
      {"Dörte <dörte@e.example>", "Dörte|dörte|e.example"},
      {"postmaster", "|postmaster|"},
      {"some words that are no address", "|some words that are no address|"},
      {"<>", "||"},
      {"", ""},
      {" (just a comment) ", ""},
      {"group: a@b", "{group, |a|b, }"},
      {"folded\r\n name <a@b>", "folded name|a|b"},
      // Two words are never joined to an address that nobody wrote.
      {"a@b.example c@d.example", "|a|b.example, |c|d.example"},
      {"a@b.example c@d.example, e@f.example", "|a|b.example, |c|d.example, |e|f.example"},
      {"\"b@example.org\" a@other.test", "b@example.org|a|other.test"},
      {"John Smith john@x.test", "John Smith|john|x.test"},
      {"john@x.test John Smith", "John Smith|john|x.test"},
      {"a@b.example John c@d.example", "|a|b.example, John|c|d.example"},
      {"Two <a@b.example c@d.example>", "Two|a|b.example, |c|d.example"},
      {"a@[192.0.2.1] b@c.example", "|a|[192.0.2.1], |b|c.example"},
      {"John Q . Public <a@b.example>", "John Q . Public|a|b.example"},
  };
  for (const auto& [value, expected] : cases)
    EXPECT_EQ(Print(ParseAddressList(value)), expected) << value;
}

TEST(AddressList, TellsWhatIsWrongAndWhere) {
  constexpr size_t kNone = std::string_view::npos;
  const struct {
    std::string_view value;
    size_t missing_comma;
    size_t malformed;
  } cases[] = {
      {"a@b.example, Joe Q. Public <c@d.example>, G: e@f;, (c) x @ y . z", kNone, kNone},
      {"\"a b\"@c.example, <@r.test:j@k.test>, a@[192.0.2.1], x: ;", kNone, kNone},
      {"Undisclosed recipients:;", kNone, kNone},
      {"=?utf-8?q?a=40b?= <a@b.example>", kNone, kNone},
      {"", kNone, kNone},
      {"a@b.example c@d.example", 12, kNone},
      {"<a@b><c@d>", 5, kNone},
      {"a <b@c> d <e@f>", 8, kNone},
      {"user", kNone, 0},
      {"a@b.example, two words, c@d", kNone, 13},
      {"a@b <a@b>", kNone, 0},
      {"a@b@c", kNone, 0},
      {"@b", kNone, 0},
      {"a@", kNone, 0},
      {"name <a@b.example", kNone, 17},
      {"a@b.example>", kNone, 11},
      {"a@b; c@d", kNone, 3},
      {"\"open <a@b>", kNone, 0},
      {"a@b (open", kNone, 9},
  };
  for (const auto& one : cases) {
    AddressListDefects defects;
    ParseAddressList(one.value, &defects);
    EXPECT_EQ(defects.missing_comma, one.missing_comma) << one.value;
    EXPECT_EQ(defects.malformed, one.malformed) << one.value;
  }
}

TEST(AddressList, PrintsBack) {
  EXPECT_EQ(ParseAddressList("\"a b\"@c.example")[0].Address(), "\"a b\"@c.example");
  EXPECT_EQ(ParseAddressList("=?utf-8?Q?D=C3=B6rte?= <d@e.example>")[0].DisplayName(), "Dörte");
  EXPECT_EQ(FormatMailbox("", "a@b"), "a@b");
  EXPECT_EQ(FormatMailbox("Doe, J.", "a@b"), "\"Doe, J.\" <a@b>");
}

}  // namespace
}  // namespace postern::message
