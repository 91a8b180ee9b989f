/* postern auth: everything that a receiver checks about one message. */
#include "options.h"
#include "verbs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arguments {
  const char *ip, *from, *helo, *zone, *servers, *id, *user, *utf8;
  int json, header;
};

static int check_auth(const struct arguments* given, const char* path, postern_resolver* resolver) {
  postern_auth_options options = POSTERN_AUTH_OPTIONS_INIT;
  postern_auth* auth = NULL;
  postern_error* error = NULL;
  char* message;
  size_t len, i;
  postern_status status;
  int passed;
  if (read_file(path, &message, &len)) return EXIT_USAGE;
  options.client_address = given->ip;
  options.helo = given->helo;
  options.mail_from = given->from;
  options.authserv_id = given->id;
  options.auth_user = given->user;
  if (given->utf8 != NULL) {
    options.utf8 =
        strcmp(given->utf8, "yes") == 0 ? POSTERN_AUTH_UTF8_ALWAYS : POSTERN_AUTH_UTF8_NEVER;
  }
  options.lf_lines = (uint8_t)!memchr(message, '\r', len);
  status = postern_auth_check(&auth, resolver, message, len, &options, &error);
  free(message);
  if (status != POSTERN_OK) return complain_about("auth", status, error);
  if (given->json) {
    printf("%s\n", postern_auth_json(auth));
  } else if (given->header) {
    fputs(postern_auth_results(auth), stdout);
  } else {
    for (i = 0; *postern_auth_explanation(auth, i) != '\0'; ++i)
      printf("%s\n", postern_auth_explanation(auth, i));
  }
  passed = postern_auth_dmarc(auth) == POSTERN_DMARC_PASS;
  postern_auth_free(auth);
  return passed ? EXIT_FINE : EXIT_NOT_FINE;
}

int auth_command(int argc, char** argv) {
  struct arguments given;
  const char* operands[1] = {NULL};
  postern_resolver* resolver = NULL;
  int status;
  const struct option options[] = {
      {"--ip", "ADDRESS", "the client's address; without it SPF and iprev are not checked",
       &given.ip, NULL},
      {"--helo", "NAME", "the client's name in EHLO", &given.helo, NULL},
      {"--from", "ADDRESS", "the sender of MAIL FROM; \"\" is the null one", &given.from, NULL},
      {"--user", "LOGIN", "the login that the client had", &given.user, NULL},
      {"--id", "NAME", "who we are in Authentication-Results", &given.id, NULL},
      {"--utf8", "yes|no",
       "write the field in UTF-8, or in ASCII with A-labels; by\n"
       "                       default as the message is",
       &given.utf8, NULL},
      {"--header", NULL, "print the Authentication-Results field alone", NULL, &given.header},
      {"--json", NULL, "print a JSON object", NULL, &given.json},
      {"--zone", "FILE", "take DNS answers from a zone file", &given.zone, NULL},
      {"--server", "ADDRESS", "ask this DNS server, not those of /etc/resolv.conf", &given.servers,
       NULL},
      {NULL, NULL, NULL, NULL, NULL}};
  const struct verb verb = {
      "auth", "[FILE]",
      "Checks a message (a file, or standard input) as a receiver does: iprev, SPF, DKIM, ARC and\n"
      "DMARC, one sentence each. Ends with 0 when DMARC passes, 1 for any other result, 2 for a\n"
      "wrong call.",
      options, 1};
  memset(&given, 0, sizeof given);
  if (read_options(&verb, argc, argv, operands, &status)) return status;
  if (given.utf8 != NULL && strcmp(given.utf8, "yes") != 0 && strcmp(given.utf8, "no") != 0) {
    fprintf(stderr, "postern: auth: --utf8 %s: yes or no\n", given.utf8);
    return EXIT_USAGE;
  }
  status = open_resolver(given.zone, given.servers, &resolver);
  if (status == 0) status = check_auth(&given, operands[0], resolver);
  postern_resolver_free(resolver);
  return status;
}
