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
  };
  for (const auto& [value, expected] : cases)
    EXPECT_EQ(Print(ParseAddressList(value)), expected) << value;
}

TEST(AddressList, PrintsBack) {
  EXPECT_EQ(ParseAddressList("\"a b\"@c.example")[0].Address(), "\"a b\"@c.example");
  EXPECT_EQ(ParseAddressList("=?utf-8?Q?D=C3=B6rte?= <d@e.example>")[0].DisplayName(), "Dörte");
  EXPECT_EQ(FormatMailbox("", "a@b"), "a@b");
  EXPECT_EQ(FormatMailbox("Doe, J.", "a@b"), "\"Doe, J.\" <a@b>");
}

}  // namespace
}  // namespace postern::message
