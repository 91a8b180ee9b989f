/* DMARC and whole messages from C: what is lent, what is refused, and that NULL is fine. */
#include <postern.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "not so: %s\n", what);
  ++failures;
}

static const char zone[] =
    "_dmarc.example.org. TXT \"v=DMARC1; p=quarantine; ri=1\"\n"
    "example.org. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n";
static const char message[] = "From: joe@example.org\r\n\r\nhello\r\n";

static void check_records(void) {
  postern_dmarc_record* record = NULL;
  postern_error* error = NULL;
  expect(postern_dmarc_record_parse(&record, "v=spf1", 6, &error) == POSTERN_ERR_INVALID_ARGUMENT,
         "SPF is no DMARC record");
  expect(error != NULL && *postern_error_message(error) != '\0', "an error says why");
  postern_error_free(error);
  expect(postern_dmarc_record_parse(&record, "v=DMARC1; p=none; x=y", 21, NULL) == POSTERN_OK,
         "a record is read");
  expect(postern_dmarc_record_is_usable(record) == 1, "it can be used");
  expect(strcmp(postern_dmarc_record_text(record), "v=DMARC1; p=none") == 0, "it is printed");
  expect(*postern_dmarc_record_problem(record, 0) != '\0', "the unknown tag is told");
  expect(*postern_dmarc_record_problem(record, 1) == '\0', "and nothing else");
  postern_dmarc_record_free(record);
  postern_dmarc_record_free(NULL);
}

static void check_policies(postern_resolver* resolver) {
  const postern_str signed_by = {"mail.example.org", 16};
  postern_dmarc_options options = POSTERN_DMARC_OPTIONS_INIT;
  postern_dmarc_discovery* found = NULL;
  postern_dmarc_result* result = NULL;
  expect(postern_dmarc_discover(&found, resolver, "a.example.org", 13, NULL, NULL) == POSTERN_OK,
         "a policy is asked for");
  expect(strcmp(postern_dmarc_discovery_policy_domain(found), "example.org") == 0, "and found");
  postern_dmarc_discovery_free(found);
  expect(
      postern_dmarc_discover(&found, resolver, "", 0, NULL, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
      "no name has no policy");
  expect(postern_dmarc_check(&result, resolver, "example.org", 11, NULL, 0, &signed_by, 1, NULL,
                             NULL) == POSTERN_OK,
         "mail is judged");
  expect(postern_dmarc_result_code(result) == POSTERN_DMARC_PASS, "a signature below is aligned");
  postern_dmarc_result_free(result);
  options.method = POSTERN_DMARC_PUBLIC_SUFFIX_LIST;
  options.public_suffix_list = "org\n";
  options.public_suffix_list_len = 4;
  expect(postern_dmarc_check(&result, resolver, "example.org", 11, "other.org", 9, NULL, 0,
                             &options, NULL) == POSTERN_OK,
         "mail is judged by a list");
  expect(postern_dmarc_result_code(result) == POSTERN_DMARC_FAIL, "other.org is another one");
  expect(postern_dmarc_result_disposition(result) == POSTERN_DMARC_QUARANTINE, "what is asked for");
  expect(strcmp(postern_dmarc_result_reason(result), "not_aligned") == 0, "the reason");
  postern_dmarc_result_free(result);
  options.method = 7;
  expect(postern_dmarc_check(&result, resolver, "example.org", 11, NULL, 0, NULL, 0, &options,
                             NULL) == POSTERN_ERR_INVALID_ARGUMENT,
         "there is no seventh method");
  postern_dmarc_result_free(NULL);
}

static void check_messages(postern_resolver* resolver) {
  static const char forged[] = "Authentication-Results: mx; none\r\nA: b\r\n\r\nbody";
  postern_auth_options options = POSTERN_AUTH_OPTIONS_INIT;
  postern_auth_header* header = NULL;
  postern_auth* auth = NULL;
  postern_str text;
  options.client_address = "192.0.2.1";
  options.mail_from = "joe@example.org";
  options.authserv_id = "mx";
  expect(postern_auth_check(&auth, resolver, message, sizeof message - 1, &options, NULL) ==
             POSTERN_OK,
         "a message is checked");
  expect(postern_auth_dmarc(auth) == POSTERN_DMARC_PASS, "it passes");
  expect(strcmp(postern_auth_method(auth, "SPF"), "pass") == 0, "SPF did");
  expect(*postern_auth_method(auth, "vouch") == '\0', "nobody vouched");
  expect(strncmp(postern_auth_results(auth), "Authentication-Results: mx;\r\n", 29) == 0,
         "the field");
  expect(*postern_auth_explanation(auth, 99) == '\0', "there are not a hundred checks");
  postern_auth_free(auth);
  options.client_address = "mail.example.org";
  expect(postern_auth_check(&auth, resolver, message, sizeof message - 1, &options, NULL) ==
             POSTERN_ERR_INVALID_ARGUMENT,
         "a name is no address");
  expect(postern_auth_remove_forged(&header, forged, sizeof forged - 1, "MX", NULL) == POSTERN_OK,
         "forged fields go");
  text = postern_auth_header_text(header);
  expect(text.len == 8 && memcmp(text.data, "A: b\r\n\r\n", 8) == 0, "the rest stays");
  expect(postern_auth_header_removed(header) == 1, "one was removed");
  expect(strcmp(forged + postern_auth_header_body_offset(header), "body") == 0, "the body");
  postern_auth_header_free(header);
  postern_auth_header_free(NULL);
  postern_auth_free(NULL);
}

static void check_reports(void) {
  static const char xml[] = "<feedback><record><row><count>2</count></row></record></feedback>";
  postern_dmarc_reports* reports = NULL;
  expect(postern_dmarc_reports_read(&reports, xml, sizeof xml - 1, NULL) == POSTERN_OK, "a report");
  expect(postern_dmarc_reports_count(reports) == 1, "one");
  expect(strstr(postern_dmarc_reports_json(reports, 0), "\"messages\": 2") != NULL, "two messages");
  expect(*postern_dmarc_reports_text(reports, 1) == '\0', "there is no second one");
  postern_dmarc_reports_free(reports);
  {
    postern_dmarc_row* row = NULL;
    postern_dmarc_row_options options = POSTERN_DMARC_ROW_OPTIONS_INIT;
    options.source_ip = "192.0.2.1";
    options.header_from = "example.org";
    expect(postern_dmarc_row_new(&row, &options, NULL) == POSTERN_OK, "a row");
    expect(postern_dmarc_row_add_spf(row, "example.org", "bogus", NULL, NULL) ==
               POSTERN_ERR_INVALID_ARGUMENT,
           "no result of SPF");
    expect(postern_dmarc_row_add_spf(row, "example.org", "softfail", NULL, NULL) == POSTERN_OK,
           "a result of SPF");
    expect(postern_dmarc_row_add_dkim(row, "example.org", "s", "softfail", NULL, NULL) ==
               POSTERN_ERR_INVALID_ARGUMENT,
           "no result of DKIM");
    expect(postern_dmarc_row_add_dkim(row, "no domain", "s", "pass", NULL, NULL) ==
               POSTERN_ERR_INVALID_ARGUMENT,
           "no domain");
    expect(postern_dmarc_row_add_reason(row, "because", NULL, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
           "no reason");
    postern_dmarc_row_free(row);
  }
  expect(postern_dmarc_reports_read(&reports, "hello", 5, NULL) == POSTERN_ERR_NOT_FOUND,
         "no report");
  postern_dmarc_reports_free(NULL);
}

static void check_written(postern_resolver* resolver) {
  static const char record[] = "v=DMARC1; p=quarantine";
  postern_dmarc_row_options row_options = POSTERN_DMARC_ROW_OPTIONS_INIT;
  postern_dmarc_report_options options = POSTERN_DMARC_REPORT_OPTIONS_INIT;
  postern_dmarc_mail_options mail = POSTERN_DMARC_MAIL_OPTIONS_INIT;
  postern_auth_options connection = POSTERN_AUTH_OPTIONS_INIT;
  const postern_str to = {"dmarc@example.org", 17};
  const postern_str two_lines = {"a@b.org\r\nBcc: x@y.org", 22};
  postern_dmarc_row* row = NULL;
  postern_dmarc_report* report = NULL;
  postern_dmarc_reports* read = NULL;
  postern_auth* auth = NULL;
  postern_error* error = NULL;
  postern_buf text = {NULL, 0};
  postern_buf name = {NULL, 0};
  int i;

  expect(postern_dmarc_row_new(&row, &row_options, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
         "a row needs an address");
  row_options.source_ip = "192.0.2.7";
  expect(postern_dmarc_row_new(&row, &row_options, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
         "and a domain");
  row_options.header_from = "example.org";
  row_options.envelope_from = "";
  row_options.count = 5;
  row_options.disposition = 9;
  expect(postern_dmarc_row_new(&row, &row_options, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
         "there is no ninth disposition");
  row_options.disposition = POSTERN_DMARC_QUARANTINE;
  expect(postern_dmarc_row_new(&row, &row_options, NULL) == POSTERN_OK, "a row");
  for (i = 0; i < 200; ++i)
    expect(postern_dmarc_row_add_dkim(row, "example.org", "s", "fail", "a<b", NULL) == POSTERN_OK,
           "a result");
  expect(
      postern_dmarc_row_add_dkim(row, "example.org", "s", "fail", NULL, NULL) == POSTERN_ERR_LIMIT,
      "not too many of them");
  expect(postern_dmarc_row_add_spf(row, "example.org", "none", NULL, NULL) == POSTERN_OK, "SPF");
  expect(postern_dmarc_row_add_reason(row, "other", "\"&", NULL) == POSTERN_OK, "a reason");

  expect(postern_dmarc_report_new(&report, "example.org", 11, record, sizeof record - 1, &options,
                                  &error) == POSTERN_ERR_INVALID_ARGUMENT,
         "a report needs to say who reports");
  expect(strstr(postern_error_message(error), "org_name") != NULL, "the error says what");
  postern_error_free(error);
  options.org_name = "Us";
  options.email = "us@example.com";
  options.report_id = "1";
  options.begin_unix_s = 1700000000;
  options.end_unix_s = 1700086400;
  options.max_rows = 2;
  expect(postern_dmarc_report_new(&report, "example.org", 11, "v=spf1", 6, &options, NULL) ==
             POSTERN_ERR_INVALID_ARGUMENT,
         "SPF is no policy");
  expect(postern_dmarc_report_new(&report, "example.org", 11, record, sizeof record - 1, &options,
                                  NULL) == POSTERN_OK,
         "a report");
  expect(postern_dmarc_report_add(report, row, NULL) == POSTERN_OK, "a row is counted");
  expect(postern_dmarc_report_add(report, row, NULL) == POSTERN_OK, "and again");
  postern_dmarc_row_free(row);

  connection.client_address = "192.0.2.1";
  connection.mail_from = "joe@example.org";
  expect(postern_auth_check(&auth, resolver, message, sizeof message - 1, &connection, NULL) ==
             POSTERN_OK,
         "a message is checked");
  expect(postern_auth_dmarc_row(&row, auth, POSTERN_DMARC_DO_NOTHING, NULL, NULL) == POSTERN_OK,
         "its row");
  expect(postern_dmarc_report_add(report, row, NULL) == POSTERN_OK, "is counted, too");
  postern_dmarc_row_free(row);
  expect(postern_auth_dmarc_row(&row, auth, POSTERN_DMARC_DO_NOTHING, "x.org", NULL) == POSTERN_OK,
         "another row");
  expect(postern_dmarc_report_add(report, row, NULL) == POSTERN_ERR_LIMIT, "is one too many");
  postern_dmarc_row_free(row);
  postern_auth_free(auth);
  connection.client_address = NULL;
  expect(postern_auth_check(&auth, resolver, message, sizeof message - 1, &connection, NULL) ==
             POSTERN_OK,
         "a message from nowhere");
  expect(postern_auth_dmarc_row(&row, auth, 0, NULL, NULL) == POSTERN_ERR_NOT_FOUND,
         "has no place in a report");
  postern_auth_free(auth);

  expect(postern_dmarc_report_xml(report, &text, NULL) == POSTERN_OK, "the report as XML");
  expect(strstr(text.data, "<human_result>a&lt;b</human_result>") != NULL, "escaped");
  expect(strstr(text.data, "<count>10</count>") != NULL, "equal rows are counted together");
  expect(strstr(text.data, "<disposition>pass</disposition>") != NULL, "one passed");
  postern_buf_free(&text);
  expect(postern_dmarc_report_gzip(report, "example.com", &text, &name, NULL) == POSTERN_OK,
         "the report packed");
  expect(strcmp(name.data, "example.com!example.org!1700000000!1700086400.xml.gz") == 0, "a name");
  postern_buf_free(&name);
  expect(postern_dmarc_reports_read(&read, text.data, text.len, NULL) == POSTERN_OK, "it reads");
  expect(strstr(postern_dmarc_reports_json(read, 0), "\"messages\": 11") != NULL,
         "eleven messages");
  postern_dmarc_reports_free(read);
  postern_buf_free(&text);

  mail.receiver = "example.com";
  mail.from = "us@example.com";
  expect(postern_dmarc_report_mail(report, &mail, &text, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
         "mail goes to somebody");
  mail.to_count = 1;
  mail.to = &two_lines;
  expect(postern_dmarc_report_mail(report, &mail, &text, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
         "who has an address of one line");
  mail.to = &to;
  mail.message_id = "<a@b>\r\nBcc: <x@y.org>";
  expect(postern_dmarc_report_mail(report, &mail, &text, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
         "and a Message-ID of one line");
  mail.message_id = NULL;
  expect(postern_dmarc_report_mail(report, &mail, &text, NULL) == POSTERN_OK, "the mail");
  expect(strstr(text.data, "To: dmarc@example.org\r\n") != NULL, "to whom it goes");
  expect(postern_dmarc_reports_read(&read, text.data, text.len, NULL) == POSTERN_OK, "it reads");
  postern_dmarc_reports_free(read);
  postern_buf_free(&text);
  postern_dmarc_report_free(report);
  postern_dmarc_report_free(NULL);
  postern_dmarc_row_free(NULL);
}

int main(void) {
  postern_resolver* resolver = NULL;
  expect(postern_resolver_new_zone(&resolver, zone, sizeof zone - 1, NULL) == POSTERN_OK, "a zone");
  check_records();
  check_policies(resolver);
  check_messages(resolver);
  check_reports();
  check_written(resolver);
  postern_resolver_free(resolver);
  return failures == 0 ? 0 : 1;
}
