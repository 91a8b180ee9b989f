/* postern arc verify | seal. */
#include "options.h"
#include "signatures.h"
#include "verbs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arguments {
  const char *key, *domain, *selector, *authserv_id, *results, *fields, *oversign, *now, *zone,
      *servers;
  int json, header_only;
};

static void show(const postern_arc* arc) {
  size_t i;
  printf("%s\n", postern_arc_explanation(arc));
  for (i = 0; i < postern_arc_set_count(arc); ++i) {
    printf("  %lu: %s: %s\n", (unsigned long)(i + 1), postern_arc_set_domain(arc, i),
           postern_arc_set_results(arc, i));
  }
}

/* look validates the chain of a message, and puts a set on it when `options` has a key. */
static int look(const struct arguments* given, postern_arc_options* options, const char* path) {
  postern_resolver* resolver = NULL;
  postern_arc_reader* reader = NULL;
  postern_arc* arc = NULL;
  postern_error* error = NULL;
  postern_status done;
  postern_str fields;
  const char* what = options->key != NULL ? "arc seal" : "arc verify";
  char* data = NULL;
  size_t len = 0;
  int status = read_file(path, &data, &len);
  if (status != 0) return status;
  options->bare_lf_is_line_end = message_has_crlf(data, len) ? 0 : 1;
  status = open_resolver(given->zone, given->servers, &resolver);
  if (status == 0) {
    done = postern_arc_reader_new(&reader, options, &error);
    if (done == POSTERN_OK) done = postern_arc_reader_feed(reader, data, len, &error);
    if (done == POSTERN_OK) done = postern_arc_reader_finish(reader, resolver, &arc, &error);
    if (done == POSTERN_OK && options->key != NULL)
      done = postern_arc_reader_seal(reader, &fields, &error);
    if (done != POSTERN_OK) {
      status = complain_about(what, done, error);
    } else if (options->key != NULL) {
      put_fields(fields.data, fields.len, message_has_crlf(data, len));
      if (!given->header_only) fwrite(data, 1, len, stdout);
    } else {
      if (given->json) {
        printf("%s\n", postern_arc_json(arc));
      } else {
        show(arc);
      }
      status = postern_arc_result(arc) == POSTERN_ARC_PASS ? EXIT_FINE : EXIT_NOT_FINE;
    }
  }
  postern_arc_free(arc);
  postern_arc_reader_free(reader);
  postern_resolver_free(resolver);
  free(data);
  return status;
}

static int verify(int argc, char** argv) {
  struct arguments given;
  const char* operands[1];
  int status;
  postern_arc_options how = POSTERN_ARC_OPTIONS_INIT;
  const struct option options[] = {
      {"--json", NULL, "print a JSON object", NULL, &given.json},
      {"--zone", "FILE", "take DNS answers from a zone file", &given.zone, NULL},
      {"--server", "ADDRESS", "ask this DNS server, not those of /etc/resolv.conf", &given.servers,
       NULL},
      {NULL, NULL, NULL, NULL, NULL}};
  const struct verb verb = {
      "arc verify", "[FILE]",
      "Validates the ARC chain of a message (standard input without FILE; RFC 8617) and shows\n"
      "what each handler saw. Ends with 0 for pass, 1 for any other result, 2 for a wrong call.",
      options, 1};
  memset(&given, 0, sizeof given);
  if (read_options(&verb, argc, argv, operands, &status)) return status;
  return look(&given, &how, operands[0]);
}

static int seal(int argc, char** argv) {
  struct arguments given;
  const char* operands[1];
  postern_dkim_key* key = NULL;
  int status;
  postern_arc_options how = POSTERN_ARC_OPTIONS_INIT;
  const struct option options[] = {
      {"--key", "FILE", "the private key, PEM", &given.key, NULL},
      {"--domain", "NAME", "d=, whose key it is", &given.domain, NULL},
      {"--selector", "NAME", "s=, where under the domain the key is published", &given.selector,
       NULL},
      {"--authserv-id", "NAME", "who we are in Authentication-Results; the domain by default",
       &given.authserv_id, NULL},
      {"--results", "TEXT",
       "what was found out; by default what the message's own\n"
       "                       Authentication-Results of --authserv-id say",
       &given.results, NULL},
      {"--fields", "NAMES", "header fields to sign, colons between", &given.fields, NULL},
      {"--oversign", "NAMES", "fields of which none may be added; \"\" for none", &given.oversign,
       NULL},
      {"--now", "SECONDS", "the time to seal at, since 1970", &given.now, NULL},
      {"--header-only", NULL, "print the new fields and not the message", NULL, &given.header_only},
      {"--zone", "FILE", "take DNS answers from a zone file", &given.zone, NULL},
      {"--server", "ADDRESS", "ask this DNS server, not those of /etc/resolv.conf", &given.servers,
       NULL},
      {NULL, NULL, NULL, NULL, NULL}};
  const struct verb verb = {
      "arc seal", "[FILE]",
      "Validates the ARC chain of a message (standard input without FILE), puts one set on it, "
      "and\n"
      "prints the message. ARC is on its way to historic: seal only for who asks for it.",
      options, 1};
  memset(&given, 0, sizeof given);
  if (read_options(&verb, argc, argv, operands, &status)) return status;
  if (given.key == NULL || given.domain == NULL || given.selector == NULL) {
    fprintf(stderr, "postern arc seal: %s is missing\n",
            given.key == NULL      ? "--key"
            : given.domain == NULL ? "--domain"
                                   : "--selector");
    show_usage(&verb, 1);
    return EXIT_USAGE;
  }
  if ((status = read_moment(verb.name, "--now", given.now, &how.now_unix_s)) != 0) return status;
  if ((status = read_key(given.key, &key)) != 0) return status;
  how.key = key;
  how.domain = given.domain;
  how.selector = given.selector;
  how.authserv_id = given.authserv_id;
  how.results = given.results;
  how.fields = given.fields;
  how.oversigned = given.oversign;
  status = look(&given, &how, operands[0]);
  postern_dkim_key_free(key);
  return status;
}

int arc_command(int argc, char** argv) {
  if (argc > 0 && strcmp(argv[0], "verify") == 0) return verify(argc - 1, argv + 1);
  if (argc > 0 && strcmp(argv[0], "seal") == 0) return seal(argc - 1, argv + 1);
  fprintf(argc > 0 && strcmp(argv[0], "--help") == 0 ? stdout : stderr,
          "usage: postern arc verify [--json] [--zone FILE] [FILE]\n"
          "       postern arc seal --key FILE --domain NAME --selector NAME [FILE]\n"
          "each with --help for the rest\n");
  return argc > 0 && strcmp(argv[0], "--help") == 0 ? EXIT_FINE : EXIT_USAGE;
}
