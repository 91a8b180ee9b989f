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
  expect(postern_dmarc_reports_read(&reports, "hello", 5, NULL) == POSTERN_ERR_NOT_FOUND,
         "no report");
  postern_dmarc_reports_free(NULL);
}

int main(void) {
  postern_resolver* resolver = NULL;
  expect(postern_resolver_new_zone(&resolver, zone, sizeof zone - 1, NULL) == POSTERN_OK, "a zone");
  check_records();
  check_policies(resolver);
  check_messages(resolver);
  check_reports();
  postern_resolver_free(resolver);
  return failures == 0 ? 0 : 1;
}
