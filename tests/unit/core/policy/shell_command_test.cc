#include "lib/core/policy/shell_command.h"

#include "gtest/gtest.h"

namespace postern::policy {
namespace {

FormatContext Context() {
  FormatContext c;
  c.sender = {"joe", "example.net"};
  c.recipient = {"bob+x", "example.org"};
  c.destination = {"bob+x", "example.org"};
  c.user_name = "bob";
  c.home = "/home/bob";
  return c;
}

TEST(ShellCommand, ValuesStandInTheEnvironmentAndTheirPlacesAreQuoted) {
  struct Row {
    const char* command;
    const char* text;
  };
  const Row rows[] = {
      {"cat", "cat"},
      {"100%% sure", "100% sure"},
      {"procmail -f %{sender} -d %{user.username}",
       "procmail -f \"${POSTERN_1}\" -d \"${POSTERN_2}\""},
      {"~/bin/sort %{dest.user}", "\"${POSTERN_1}\"/bin/sort \"${POSTERN_2}\""},
      {"lda -a \"%{rcpt}\"", "lda -a \"${POSTERN_1}\""},
      {"lda -a '%{rcpt}'", "lda -a ''\"${POSTERN_1}\"''"},
      {"lda 'a \" b' %{rcpt}", "lda 'a \" b' \"${POSTERN_1}\""},
      {"lda \"a ' \\\" b\" %{rcpt}", "lda \"a ' \\\" b\" \"${POSTERN_1}\""},
      {"lda a\\'b %{rcpt}", "lda a\\'b \"${POSTERN_1}\""},
      {"lda \\%{rcpt}", "lda \"${POSTERN_1}\""},
      {"lda \"\\%{rcpt}\"", "lda \"${POSTERN_1}\""},
      {"lda # it's %{rcpt}\nlda %{rcpt}", "lda # it's \nlda \"${POSTERN_1}\""},
      {"lda x#it %{rcpt}", "lda x#it \"${POSTERN_1}\""},
      {"lda ''#it %{rcpt}", "lda ''#it \"${POSTERN_1}\""},
  };
  for (const Row& row : rows) {
    const StatusOr<ShellCommand> made = MakeShellCommand(row.command, "", Context());
    ASSERT_TRUE(made.ok()) << row.command << ": " << Text(made.status());
    EXPECT_EQ(made->text(), row.text);
  }
  const StatusOr<ShellCommand> made =
      MakeShellCommand("p %{sender} %{dest.user:strip}", "", Context());
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->environment(),
            (std::vector<std::string>{"POSTERN_1=joe@example.net", "POSTERN_2=bob"}));
}

TEST(ShellCommand, NothingOfAStrangersIsInTheText) {
  for (const char* local : {";touch x;", "`touch x`", "$(touch x)", "${run}", "a|b", "a\nb", "'; x",
                            "\"; x; \"", "-oX", "\\"}) {
    FormatContext context = Context();
    context.sender.local_part = context.destination.local_part = local;
    for (const char* command :
         {"p %{dest.user:raw}", "p '%{dest.user:raw}'", "p \"%{dest.user:raw}\"",
          "p \\%{dest.user:raw}", "p `q %{dest.user:raw}`", "p \"$(q '%{dest.user:raw}')\""}) {
      const StatusOr<ShellCommand> made = MakeShellCommand(command, "w %{mda}", context);
      ASSERT_TRUE(made.ok()) << Text(made.status());
      EXPECT_EQ(made->text().find(local), std::string::npos) << made->text();
      ASSERT_EQ(made->environment().size(), 1u);
    }
  }
}

TEST(ShellCommand, AValueIsNoOption) {
  FormatContext context = Context();
  context.destination.local_part = "-oQ";
  const auto first = [&](const char* command) {
    const StatusOr<ShellCommand> made = MakeShellCommand(command, "", context);
    return made.ok() ? made->environment().front() : std::string();
  };
  EXPECT_EQ(first("p %{dest.user}"), "POSTERN_1=:oQ");
  EXPECT_EQ(first("p '%{dest.user}'"), "POSTERN_1=:oQ");
  EXPECT_EQ(first("p \"%{dest.user:raw}\""), "POSTERN_1=:oQ");
  EXPECT_EQ(first("p -a%{dest.user}"), "POSTERN_1=-oQ");
  EXPECT_EQ(first("p --to=%{dest.user}"), "POSTERN_1=-oQ");
}

TEST(ShellCommand, AWrapperHoldsTheInnerCommandWhole) {
  struct Row {
    const char* wrapper;
    const char* text;
  };
  const Row rows[] = {
      {"nice %{mda}", "nice p \"${POSTERN_1}\" 'a b'"},
      {"sh -c '%{mda}'", "sh -c 'p \"${POSTERN_1}\" '\\''a b'\\'''"},
      {"sh -c \"%{mda}\"", "sh -c \"p \\\"\\${POSTERN_1}\\\" 'a b'\""},
      {"log %{sender}; %{mda}", "log \"${POSTERN_2}\"; p \"${POSTERN_1}\" 'a b'"},
      {"true", "true"},
  };
  for (const Row& row : rows) {
    const StatusOr<ShellCommand> made = MakeShellCommand("p %{rcpt} 'a b'", row.wrapper, Context());
    ASSERT_TRUE(made.ok()) << Text(made.status());
    EXPECT_EQ(made->text(), row.text);
  }
}

TEST(ShellCommand, WhatCannotBeRun) {
  for (const char* command : {"p 'a", "p \"a", "p \\", "p %{nobody}", "p %{mda}", "p %{rcpt[99]}"})
    EXPECT_FALSE(MakeShellCommand(command, "", Context()).ok()) << command;
  EXPECT_FALSE(MakeShellCommand("p", "w '%{mda}", Context()).ok());
  EXPECT_FALSE(MakeShellCommand(std::string(1024, 'a'), "", Context()).ok());
  EXPECT_FALSE(CheckShellCommand("p 'a", false).ok());
  EXPECT_FALSE(CheckShellCommand("p %{mda}", false).ok());
  EXPECT_TRUE(CheckShellCommand("p %{mda}", true).ok());
  EXPECT_TRUE(CheckShellCommand("p %{rcpt[99]}", false).ok());
}

}  // namespace
}  // namespace postern::policy
