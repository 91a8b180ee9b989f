/* Notices through the C API: what is written is read again. */
#include <postern.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "not so: %s\n", what);
  ++failures;
}

static const char kMail[] =
    "Return-Path: <joe@example.org>\r\nFrom: Joe <joe@example.org>\r\nTo: Ann <ann@example.com>\r\n"
    "Subject: hello\r\nMessage-ID: <1@example.org>\r\n"
    "Disposition-Notification-To: joe@example.org\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\n\r\nhi\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inside\r\n\r\nx\r\n--b--"
    "\r\n";

/* said gives what notice_json tells of a message; for postern_buf_free. */
static postern_buf said(const postern_buf* mail) {
  postern_parsed* parsed = NULL;
  postern_buf json = {NULL, 0};
  expect(postern_parsed_new(&parsed, mail->data, mail->len, NULL, NULL) == POSTERN_OK, "parsed");
  expect(postern_parsed_notice_json(&json, parsed, NULL) == POSTERN_OK, "it is a notice");
  postern_parsed_free(parsed);
  return json;
}

static int has(const postern_buf* buf, const char* piece) {
  if (buf->data != NULL && strstr(buf->data, piece) != NULL) return 1;
  fprintf(stderr, "%s\n", buf->data == NULL ? "(nothing)" : buf->data);
  return 0;
}

static void test_imap(void) {
  postern_parsed* parsed = NULL;
  postern_buf out = {NULL, 0};
  expect(postern_parsed_new(&parsed, kMail, sizeof kMail - 1, NULL, NULL) == POSTERN_OK, "parsed");
  expect(postern_parsed_envelope(&out, parsed, 0, 0, NULL) == POSTERN_OK &&
             has(&out, "(NIL \"hello\" ((\"Joe\" NIL \"joe\" \"example.org\"))"),
         "an envelope");
  postern_buf_free(&out);
  expect(postern_parsed_envelope(&out, parsed, 2, 0, NULL) == POSTERN_OK &&
             has(&out, "(NIL \"inside\" NIL"),
         "that of the message inside");
  postern_buf_free(&out);
  expect(postern_parsed_envelope(&out, parsed, 9, 0, NULL) == POSTERN_ERR_NOT_FOUND, "no part");
  expect(postern_parsed_body_structure(&out, parsed, 1, 0, NULL) == POSTERN_OK &&
             has(&out, "\"mixed\" (\"boundary\" \"b\")"),
         "a structure");
  postern_buf_free(&out);
  expect(postern_parsed_notice_json(&out, parsed, NULL) == POSTERN_ERR_NOT_FOUND, "no notice");
  postern_parsed_free(parsed);
}

static void test_dsn(void) {
  postern_dsn_options options = POSTERN_DSN_OPTIONS_INIT;
  postern_dsn_recipient recipients[2] = {POSTERN_DSN_RECIPIENT_INIT, POSTERN_DSN_RECIPIENT_INIT};
  postern_error* error = NULL;
  postern_buf out = {NULL, 0}, json;
  expect(postern_dsn_build(&out, &options, &error) == POSTERN_ERR_INVALID_ARGUMENT &&
             strstr(postern_error_message(error), "reporting_mta") != NULL,
         "what is missing is named");
  postern_error_free(error);
  recipients[0].address = "ann@example.com";
  recipients[0].status = "5.1.1";
  recipients[0].reply = "550 5.1.1 no such user";
  recipients[0].remote_mta = "mx.example.com";
  recipients[1].address = "bob@example.com";
  recipients[1].action = POSTERN_DSN_DELAYED;
  options.reporting_mta = "mx.example.org";
  options.sender = "joe@example.org";
  options.recipients = recipients;
  options.recipient_count = 2;
  options.original = kMail;
  options.original_len = sizeof kMail - 1;
  expect(postern_dsn_build(&out, &options, NULL) == POSTERN_OK, "built");
  json = said(&out);
  expect(has(&json, "\"kind\": \"dsn\"") &&
             has(&json, "\"final_recipient\": \"ann@example.com\"") &&
             has(&json, "\"status\": \"5.1.1\"") && has(&json, "\"action\": \"delayed\"") &&
             has(&json, "\"original_message_id\": \"<1@example.org>\""),
         "a status notification reads back");
  postern_buf_free(&json);
  postern_buf_free(&out);
  /* As it came over the wire, and as a sender without SMTPUTF8 may have it. */
  recipients[0].reply = "550-5.7.1 no\r\n550 5.7.1 never";
  options.sender =
      "joe@b\xc3\xbc"
      "cher.example";
  expect(postern_dsn_build(&out, &options, NULL) == POSTERN_OK &&
             has(&out, "Diagnostic-Code: smtp; 550 5.7.1 no never\r\n") &&
             has(&out, "To: <joe@xn--bcher-kva.example>\r\n"),
         "a reply of two lines, a domain in A-labels");
  postern_buf_free(&out);
  recipients[0].reply = "550-5.7.1 no\r\n551 5.7.1 never";
  expect(postern_dsn_build(&out, &options, NULL) == POSTERN_ERR_INVALID_ARGUMENT, "two codes");
  recipients[0].reply = "550 no";
  options.sender = "jos\xc3\xa9@example.org";
  expect(postern_dsn_build(&out, &options, &error) == POSTERN_ERR_INVALID_ARGUMENT &&
             strstr(postern_error_message(error), "smtputf8") != NULL,
         "a sender that wants SMTPUTF8");
  postern_error_free(error);
  options.smtputf8 = 1;
  expect(postern_dsn_build(&out, &options, NULL) == POSTERN_OK &&
             has(&out, "To: <jos\xc3\xa9@example.org>\r\n"),
         "a sender in UTF-8");
  postern_buf_free(&out);
  recipients[1].status = "five";
  expect(postern_dsn_build(&out, &options, NULL) == POSTERN_ERR_INVALID_ARGUMENT, "no status");
}

static void test_mdn(void) {
  postern_mdn_options options = POSTERN_MDN_OPTIONS_INIT;
  postern_parsed* parsed = NULL;
  postern_buf out = {NULL, 0}, json;
  int32_t ask_first = -1;
  expect(postern_parsed_new(&parsed, kMail, sizeof kMail - 1, NULL, NULL) == POSTERN_OK, "parsed");
  expect(postern_mdn_wanted(&out, &ask_first, parsed, NULL) == POSTERN_OK &&
             has(&out, "joe@example.org") && ask_first == 0,
         "one is asked for");
  postern_buf_free(&out);
  postern_parsed_free(parsed);
  options.from = "ann@example.com";
  options.to = "joe@example.org";
  options.original = kMail;
  options.original_len = sizeof kMail - 1;
  expect(postern_mdn_build(&out, &options, NULL) == POSTERN_OK, "built");
  json = said(&out);
  expect(has(&json, "\"kind\": \"mdn\"") && has(&json, "\"disposition\": \"displayed\"") &&
             has(&json, "\"original_message_id\": \"<1@example.org>\""),
         "a disposition notification reads back");
  postern_buf_free(&json);
  postern_buf_free(&out);
  options.to = "jos\xc3\xa9@example.org";
  expect(postern_mdn_build(&out, &options, NULL) == POSTERN_ERR_INVALID_ARGUMENT, "no SMTPUTF8");
  options.smtputf8 = 1;
  expect(postern_mdn_build(&out, &options, NULL) == POSTERN_OK &&
             has(&out, "To: <jos\xc3\xa9@example.org>\r\n"),
         "a notification in UTF-8");
  postern_buf_free(&out);
  options.to = "nobody";
  expect(postern_mdn_build(&out, &options, NULL) == POSTERN_ERR_INVALID_ARGUMENT, "no address");
}

static void test_arf(void) {
  postern_arf_options options = POSTERN_ARF_OPTIONS_INIT;
  postern_buf out = {NULL, 0}, json;
  options.feedback_type = "abuse";
  options.from = "abuse@example.com";
  options.to = "abuse@example.org";
  options.source_ip = "192.0.2.1";
  options.original = kMail;
  options.original_len = sizeof kMail - 1;
  expect(postern_arf_build(&out, &options, NULL) == POSTERN_OK, "built");
  json = said(&out);
  expect(has(&json, "\"kind\": \"arf\"") && has(&json, "\"feedback_type\": \"abuse\"") &&
             has(&json, "\"source_ip\": \"192.0.2.1\""),
         "an abuse report reads back");
  postern_buf_free(&json);
  postern_buf_free(&out);
  options.source_ip = "nonsense";
  expect(postern_arf_build(&out, &options, NULL) == POSTERN_ERR_INVALID_ARGUMENT, "no address");
  options.source_ip = NULL;
  options.feedback_type = "Bad type";
  expect(postern_arf_build(&out, &options, NULL) == POSTERN_ERR_INVALID_ARGUMENT, "no token");
  options.feedback_type = NULL;
  expect(postern_arf_build(&out, &options, NULL) == POSTERN_ERR_INVALID_ARGUMENT, "no type");
}

static void test_failure_report(void) {
  static const char zone[] =
      "example.org. TXT \"v=spf1 -all\"\n"
      "_dmarc.example.org. TXT \"v=DMARC1; p=reject; ruf=mailto:f@example.org\"\n";
  postern_failure_report_options options = POSTERN_FAILURE_REPORT_OPTIONS_INIT;
  postern_auth_options how = POSTERN_AUTH_OPTIONS_INIT;
  postern_resolver* resolver = NULL;
  postern_auth* auth = NULL;
  postern_buf out = {NULL, 0}, json;
  how.client_address = "192.0.2.1";
  how.mail_from = "joe@example.org";
  expect(postern_resolver_new_zone(&resolver, zone, sizeof zone - 1, NULL) == POSTERN_OK &&
             postern_auth_check(&auth, resolver, kMail, sizeof kMail - 1, &how, NULL) == POSTERN_OK,
         "checked");
  options.from = "dmarc@example.com";
  options.to = "f@example.org";
  options.delivery_result = "reject";
  expect(postern_auth_failure_report(&out, auth, kMail, sizeof kMail - 1, &options, NULL) ==
             POSTERN_OK,
         "a report is asked for");
  json = said(&out);
  expect(has(&json, "\"feedback_type\": \"auth-failure\"") &&
             has(&json, "\"delivery_result\": \"reject\"") && has(&json, "\"headers_only\": true"),
         "it reads back");
  /* Nobody reports about a report. */
  {
    postern_buf none = {NULL, 0};
    expect(postern_auth_failure_report(&none, auth, out.data, out.len, &options, NULL) ==
                   POSTERN_DONE &&
               none.data == NULL,
           "not about a report");
  }
  postern_buf_free(&json);
  postern_buf_free(&out);
  options.delivery_result = "bogus";
  expect(postern_auth_failure_report(&out, auth, kMail, sizeof kMail - 1, &options, NULL) ==
             POSTERN_ERR_INVALID_ARGUMENT,
         "no such delivery result");
  options.delivery_result = NULL;
  options.to = "stranger@evil.example";
  expect(postern_auth_failure_report(&out, auth, kMail, sizeof kMail - 1, &options, NULL) ==
             POSTERN_ERR_INVALID_ARGUMENT,
         "nobody else gets one");
  postern_auth_free(auth);
  postern_resolver_free(resolver);
}

int main(void) {
  test_imap();
  test_dsn();
  test_mdn();
  test_arf();
  test_failure_report();
  return failures == 0 ? 0 : 1;
}
