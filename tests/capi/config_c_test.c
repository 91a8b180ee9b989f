/* Configurations from C: what is found in one, a file of before 6.4, and where a mail goes. */
#include <postern.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "not so: %s\n", what);
  ++failures;
}

static void check(void) {
  static const char kText[] =
      "listen on 0.0.0.0 port 2525\naction \"out\" relay\naction \"not\" mbox\n"
      "match from any for any action \"out\"\n";
  static const char* const kIgnored[] = {"unused"};
  postern_config_options options = POSTERN_CONFIG_OPTIONS_INIT;
  postern_findings* findings = NULL;
  postern_error* error = NULL;
  expect(postern_config_check(&findings, &options, &error) == POSTERN_ERR_INVALID_ARGUMENT,
         "a configuration is wanted");
  expect(findings == NULL && *postern_error_message(error) != '\0', "it says so");
  postern_error_free(error);
  options.config_text = kText;
  options.config_text_len = sizeof kText - 1;
  expect(postern_config_check(&findings, &options, NULL) == POSTERN_OK, "it is looked at");
  expect(postern_findings_count(findings) == 2, "two findings");
  expect(postern_findings_count_of(findings, POSTERN_FINDING_ERROR) == 0, "no error");
  expect(strcmp(postern_findings_code(findings, 0), "unused") == 0, "the first is the unused one");
  expect(postern_findings_line(findings, 0) == 3, "... at line 3");
  expect(strcmp(postern_findings_code(findings, 1), "open-relay") == 0, "then the open relay");
  expect(postern_findings_severity(findings, 1) == POSTERN_FINDING_WARNING, "... a warning");
  expect(strcmp(postern_findings_file(findings, 1), "<text>") == 0, "... of the text");
  expect(strstr(postern_findings_edit(findings, 1), "match from auth") != NULL, "... to be mended");
  expect(postern_findings_severity(findings, 2) == -1, "there is no third");
  expect(strcmp(postern_findings_message(findings, 2), "") == 0, "... nor its sentence");
  expect(strstr(postern_findings_json(findings), "\"open-relay\"") != NULL, "it is in the JSON");
  postern_findings_free(findings);
  options.ignore = kIgnored;
  options.ignore_count = 1;
  expect(postern_config_check(&findings, &options, NULL) == POSTERN_OK, "again");
  expect(postern_findings_count(findings) == 1, "what is ignored is not told");
  postern_findings_free(findings);
  options.config_text = "lisen\n";
  options.config_text_len = 6;
  expect(postern_config_check(&findings, &options, NULL) == POSTERN_OK, "a wrong one, too");
  expect(postern_findings_count_of(findings, POSTERN_FINDING_ERROR) > 0, "it has an error");
  postern_findings_free(findings);
  postern_findings_free(NULL);
}

static void upgrade(void) {
  static const char kOld[] = "expire 4d\n";
  postern_upgrade* made = NULL;
  size_t len = 0;
  expect(postern_config_upgrade(&made, "f", kOld, sizeof kOld - 1, NULL) == POSTERN_OK, "upgraded");
  expect(strcmp(postern_upgrade_text(made, &len), "queue ttl 4d\n") == 0 && len == 13, "its text");
  expect(strstr(postern_upgrade_diff(made), "-expire 4d\n+queue ttl 4d\n") != NULL, "its diff");
  expect(postern_findings_count(postern_upgrade_findings(made)) == 0, "nothing to say");
  postern_upgrade_free(made);
  postern_upgrade_free(NULL);
}

static void explain(void) {
  static const char kText[] =
      "listen on 0.0.0.0 port 2525\naction \"out\" relay\n"
      "match for any action \"out\"\n";
  static const char* const kTo[] = {"friend@else.test"};
  postern_config_options config = POSTERN_CONFIG_OPTIONS_INIT;
  postern_explain_options question = POSTERN_EXPLAIN_OPTIONS_INIT;
  postern_explanation* explanation = NULL;
  config.config_text = kText;
  config.config_text_len = sizeof kText - 1;
  expect(postern_config_explain(&explanation, &config, &question, NULL) ==
             POSTERN_ERR_INVALID_ARGUMENT,
         "a recipient is wanted");
  question.sender = "me@us.test";
  question.recipients = kTo;
  question.recipient_count = 1;
  expect(postern_config_explain(&explanation, &config, &question, NULL) == POSTERN_OK, "answered");
  expect(postern_explanation_accepted(explanation), "this machine may send");
  postern_explanation_free(explanation);
  question.client_ip = "203.0.113.9";
  expect(postern_config_explain(&explanation, &config, &question, NULL) == POSTERN_OK, "answered");
  expect(!postern_explanation_accepted(explanation), "a stranger may not");
  expect(strstr(postern_explanation_text(explanation), "203.0.113.9 is not this machine") != NULL,
         "it says why");
  expect(strstr(postern_explanation_json(explanation), "\"condition\": \"from\"") != NULL,
         "for programs, too");
  postern_explanation_free(explanation);
  question.client_ip = "nowhere";
  expect(postern_config_explain(&explanation, &config, &question, NULL) ==
             POSTERN_ERR_INVALID_ARGUMENT,
         "that is no address");
  postern_explanation_free(NULL);
}

int main(void) {
  check();
  upgrade();
  explain();
  if (failures == 0) puts("ok");
  return failures != 0;
}
