/* postern dmarc: policies of domains, mail judged by them, and reports made readable. */
#include "options.h"
#include "verbs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arguments {
  const char *ip, *from, *helo, *zone, *servers, *list;
  int json, lf, use_list;
};

/* Options of DMARC; the text of a list is for free(). */
static int dmarc_options(const struct arguments* given, postern_dmarc_options* options,
                         char** list) {
  size_t len = 0;
  *list = NULL;
  if (given->use_list || given->list != NULL) options->method = POSTERN_DMARC_PUBLIC_SUFFIX_LIST;
  if (given->list != NULL) {
    if (read_file(given->list, list, &len)) return EXIT_USAGE;
    options->public_suffix_list = *list;
    options->public_suffix_list_len = len;
  }
  return 0;
}

/* The problems of a record are in its JSON; people get the sentences. */
static int show_record(const char* text, int json) {
  postern_dmarc_record* record = NULL;
  postern_error* error = NULL;
  const postern_status status = postern_dmarc_record_parse(&record, text, strlen(text), &error);
  size_t i;
  int usable;
  if (status != POSTERN_OK) {
    complain_about("dmarc", status, error);
    return EXIT_NOT_FINE;
  }
  if (json) {
    printf("%s\n", postern_dmarc_record_json(record));
  } else {
    printf("  %s\n", postern_dmarc_record_text(record));
    for (i = 0; *postern_dmarc_record_problem(record, i) != '\0'; ++i)
      printf("  note: %s\n", postern_dmarc_record_problem(record, i));
  }
  usable = postern_dmarc_record_is_usable(record);
  if (!usable && !json)
    printf("  DMARC does not apply: no valid policy, and no reports are wanted\n");
  postern_dmarc_record_free(record);
  return usable ? EXIT_FINE : EXIT_NOT_FINE;
}

static int domain_command(const struct arguments* given, const char* domain,
                          postern_resolver* resolver, const postern_dmarc_options* options) {
  postern_dmarc_discovery* found = NULL;
  postern_error* error = NULL;
  int result = EXIT_NOT_FINE;
  const postern_status status =
      postern_dmarc_discover(&found, resolver, domain, strlen(domain), options, &error);
  if (status != POSTERN_OK) return complain_about("dmarc", status, error);
  if (given->json) {
    printf("%s\n", postern_dmarc_discovery_json(found));
    if (*postern_dmarc_discovery_record(found) != '\0') result = EXIT_FINE;
  } else if (postern_dmarc_discovery_is_temporary(found)) {
    printf(
        "%s: temporary failure: %s\n  whether there is a DMARC policy is not known; ask again "
        "later\n",
        domain, postern_dmarc_discovery_explanation(found));
  } else if (*postern_dmarc_discovery_record(found) == '\0') {
    printf("%s has no DMARC policy\n", domain);
    if (*postern_dmarc_discovery_explanation(found) != '\0')
      printf("  %s\n", postern_dmarc_discovery_explanation(found));
    printf("  organisational domain: %s\n", postern_dmarc_discovery_organizational_domain(found));
  } else {
    printf("%s: policy at _dmarc.%s\n  organisational domain: %s\n  applies: %s (%s)\n", domain,
           postern_dmarc_discovery_policy_domain(found),
           postern_dmarc_discovery_organizational_domain(found),
           postern_dmarc_discovery_policy(found), postern_dmarc_discovery_policy_tag(found));
    if (*postern_dmarc_discovery_explanation(found) != '\0')
      printf("  note: %s\n", postern_dmarc_discovery_explanation(found));
    result = show_record(postern_dmarc_discovery_record(found), 0);
  }
  if (postern_dmarc_discovery_is_temporary(found)) result = EXIT_LATER;
  postern_dmarc_discovery_free(found);
  return result;
}

static int check_command(const struct arguments* given, const char* path,
                         postern_resolver* resolver, const postern_dmarc_options* dmarc) {
  postern_auth_options options = POSTERN_AUTH_OPTIONS_INIT;
  postern_auth* auth = NULL;
  postern_error* error = NULL;
  char* message;
  size_t len;
  int result;
  postern_status status;
  if (read_file(path, &message, &len)) return EXIT_USAGE;
  options.client_address = given->ip;
  options.helo = given->helo;
  options.mail_from = given->from;
  options.lf_lines = (uint8_t)!memchr(message, '\r', len);
  options.dmarc = dmarc;
  status = postern_auth_check(&auth, resolver, message, len, &options, &error);
  free(message);
  if (status != POSTERN_OK) return complain_about("dmarc check", status, error);
  printf("%s\n",
         given->json ? postern_auth_dmarc_json(auth) : postern_auth_dmarc_explanation(auth));
  result = postern_auth_dmarc(auth) == POSTERN_DMARC_PASS ? EXIT_FINE : EXIT_NOT_FINE;
  postern_auth_free(auth);
  return result;
}

static int report_command(const char* path, int json) {
  postern_dmarc_reports* reports = NULL;
  postern_error* error = NULL;
  char* octets;
  size_t len, i;
  postern_status status;
  if (read_file(path, &octets, &len)) return EXIT_USAGE;
  status = postern_dmarc_reports_read(&reports, octets, len, &error);
  free(octets);
  if (status != POSTERN_OK) {
    complain_about(path == NULL ? "standard input" : path, status, error);
    return EXIT_NOT_FINE;
  }
  for (i = 0; i < postern_dmarc_reports_count(reports); ++i) {
    if (i != 0) putchar('\n');
    if (json)
      printf("%s\n", postern_dmarc_reports_json(reports, i));
    else
      fputs(postern_dmarc_reports_text(reports, i), stdout);
  }
  postern_dmarc_reports_free(reports);
  return EXIT_FINE;
}

int dmarc_command(int argc, char** argv) {
  struct arguments given;
  const char* operands[1] = {NULL};
  const char* command = argc > 0 ? argv[0] : "";
  postern_dmarc_options dmarc = POSTERN_DMARC_OPTIONS_INIT;
  postern_resolver* resolver = NULL;
  char* list = NULL;
  int status;
  const struct option network[] = {
      {"--zone", "FILE", "take DNS answers from a zone file", &given.zone, NULL},
      {"--server", "ADDRESS", "ask this DNS server, not those of /etc/resolv.conf", &given.servers,
       NULL},
      {"--psl", NULL, "find organisations by the system's public suffix list (RFC 7489)", NULL,
       &given.use_list},
      {"--psl-file", "FILE", "the same by the list in a file", &given.list, NULL},
      {"--json", NULL, "print a JSON object", NULL, &given.json},
      {"--ip", "ADDRESS", "the client's address", &given.ip, NULL},
      {"--helo", "NAME", "the client's name in EHLO", &given.helo, NULL},
      {"--from", "ADDRESS", "the sender of MAIL FROM; \"\" is the null one", &given.from, NULL},
      {NULL, NULL, NULL, NULL, NULL}};
  const struct option plain[] = {{"--json", NULL, "print a JSON object", NULL, &given.json},
                                 {NULL, NULL, NULL, NULL, NULL}};
  const struct verb domain_verb = {
      "dmarc", "DOMAIN | check [FILE] | report [FILE] | record TEXT",
      "Shows the DMARC policy that applies to mail of a domain (RFC "
      "9989). 'check' judges a message,\n"
      "'report' prints aggregate reports for people (XML, gzip, zip "
      "or the mail with them), 'record'\n"
      "looks at the text of a record. Ends with 0 when there is a "
      "policy, the message passes, or the\n"
      "report can be read; 1 when not; 2 for a wrong call; 75 when the "
      "DNS did not answer.",
      network, 1};
  const struct verb check_verb = {
      "dmarc check", "[FILE]",
      "Judges a message by its author's DMARC policy. --ip, --helo and --from say how it came, "
      "for\n"
      "SPF. Ends with 0 for pass, 1 for any other result, 2 for a wrong call.",
      network, 1};
  const struct verb report_verb = {
      "dmarc report", "[FILE]",
      "Prints DMARC aggregate reports for people. FILE is XML, gzip, zip or a mail with reports.",
      plain, 1};
  const struct verb record_verb = {
      "dmarc record", "TEXT", "Reads the text of a DMARC record and says what is wrong with it.",
      plain, 1};
  const int is_check = strcmp(command, "check") == 0, is_report = strcmp(command, "report") == 0,
            is_record = strcmp(command, "record") == 0;
  const struct verb* verb = is_check    ? &check_verb
                            : is_report ? &report_verb
                            : is_record ? &record_verb
                                        : &domain_verb;
  memset(&given, 0, sizeof given);
  if (is_check || is_report || is_record) {
    --argc;
    ++argv;
  }
  if (read_options(verb, argc, argv, operands, &status)) return status;
  if (is_report) return report_command(operands[0], given.json);
  if (operands[0] == NULL && !is_check) {
    fprintf(stderr, "postern %s: %s is missing\n", verb->name,
            is_record ? "the text" : "the domain");
    show_usage(verb, 1);
    return EXIT_USAGE;
  }
  if (is_record) return show_record(operands[0], given.json);
  status = dmarc_options(&given, &dmarc, &list);
  if (status == 0) status = open_resolver(given.zone, given.servers, &resolver);
  if (status == 0) {
    status = is_check ? check_command(&given, operands[0], resolver, &dmarc)
                      : domain_command(&given, operands[0], resolver, &dmarc);
  }
  postern_resolver_free(resolver);
  free(list);
  return status;
}
