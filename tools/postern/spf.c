/* postern spf: what SPF says about a client and a sender. */
#include "options.h"
#include "verbs.h"
#include <stdio.h>
#include <string.h>

struct arguments {
  const char *ip, *from, *helo, *receiver, *zone, *servers;
  int json, header;
};

static void show(const postern_spf* spf, const struct arguments* given) {
  size_t i;
  printf("%s\n", postern_spf_explanation(spf));
  for (i = 0; i < postern_spf_step_count(spf); ++i) {
    const char* record = postern_spf_step_record(spf, i);
    const char* term = postern_spf_step_term(spf, i);
    printf("  %s: %s\n", postern_spf_step_domain(spf, i), *record ? record : "(no record)");
    if (*term) printf("    at %s\n", term);
  }
  if (*postern_spf_published(spf))
    printf("  %s says: %s\n", postern_spf_domain(spf), postern_spf_published(spf));
  printf("  DNS lookups: %lu of 10; without an answer: %lu of 2\n",
         (unsigned long)postern_spf_lookups(spf), (unsigned long)postern_spf_void_lookups(spf));
  if (given->header) fputs(postern_spf_received_header(spf), stdout);
}

static int check_spf(const struct arguments* given, postern_resolver* resolver) {
  postern_spf_options options = POSTERN_SPF_OPTIONS_INIT;
  postern_spf* spf = NULL;
  postern_error* error = NULL;
  postern_status status;
  int passed;
  options.client_ip = given->ip;
  options.helo = given->helo;
  options.sender = given->from;
  options.identity = given->from == NULL ? POSTERN_SPF_HELO : POSTERN_SPF_MAILFROM;
  options.receiver = given->receiver;
  status = postern_spf_check(&spf, resolver, &options, &error);
  if (status != POSTERN_OK) return complain_about("spf", status, error);
  if (given->json) {
    printf("%s\n", postern_spf_json(spf));
  } else {
    show(spf, given);
  }
  passed = postern_spf_result(spf) == POSTERN_SPF_PASS;
  postern_spf_free(spf);
  return passed ? EXIT_FINE : EXIT_NOT_FINE;
}

int spf_command(int argc, char** argv) {
  struct arguments given;
  int status;
  postern_resolver* resolver = NULL;
  const struct option options[] = {
      {"--ip", "ADDRESS", "the client's address", &given.ip, NULL},
      {"--from", "ADDRESS", "the sender of MAIL FROM; \"\" is the null one", &given.from, NULL},
      {"--helo", "NAME", "the client's name in EHLO; without --from it is what is checked",
       &given.helo, NULL},
      {"--receiver", "NAME", "this host's name, for %{r} and the header", &given.receiver, NULL},
      {"--header", NULL, "print the Received-SPF field too", NULL, &given.header},
      {"--json", NULL, "print a JSON object", NULL, &given.json},
      {"--zone", "FILE", "take DNS answers from a zone file", &given.zone, NULL},
      {"--server", "ADDRESS", "ask this DNS server, not those of /etc/resolv.conf", &given.servers,
       NULL},
      {NULL, NULL, NULL, NULL, NULL}};
  const struct verb verb = {
      "spf", "",
      "Says whether the domain of a sender lets a client send for it (RFC 7208), and by which\n"
      "record and term. Ends with 0 for pass, 1 for any other result, 2 for a wrong call.",
      options, 0};
  memset(&given, 0, sizeof given);
  if (read_options(&verb, argc, argv, NULL, &status)) return status;
  if (given.ip == NULL || (given.from == NULL && given.helo == NULL)) {
    fprintf(stderr, "postern spf: %s is missing\n",
            given.ip == NULL ? "--ip" : "--from (or --helo)");
    show_usage(&verb, 1);
    return EXIT_USAGE;
  }
  status = open_resolver(given.zone, given.servers, &resolver);
  if (status == 0) status = check_spf(&given, resolver);
  postern_resolver_free(resolver);
  return status;
}
