/* postern explain: where a recipient's mail goes, and why. */
#include "options.h"
#include "serve.h"
#include "verbs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RECIPIENTS = 100 };

/* repeated takes `name VALUE` and `name=VALUE`; 1 when argv[*i] was one. */
static int repeated(const char* name, int argc, char** argv, int* i, const char** values,
                    size_t* count, size_t max) {
  const size_t len = strlen(name);
  if (*count >= max) return 0;
  if (strcmp(argv[*i], name) == 0 && *i + 1 < argc) {
    values[(*count)++] = argv[++*i];
    return 1;
  }
  if (strncmp(argv[*i], name, len) == 0 && argv[*i][len] == '=') {
    values[(*count)++] = argv[*i] + len + 1;
    return 1;
  }
  return 0;
}

static int explain(const postern_config_options* config, const postern_explain_options* question,
                   int json) {
  postern_explanation* explanation = NULL;
  postern_error* error = NULL;
  const postern_status status = postern_config_explain(&explanation, config, question, &error);
  int accepted;
  if (status != POSTERN_OK) return complain_about("explain", status, error);
  fputs(json ? postern_explanation_json(explanation) : postern_explanation_text(explanation),
        stdout);
  if (json) putchar('\n');
  accepted = postern_explanation_accepted(explanation);
  postern_explanation_free(explanation);
  return accepted ? EXIT_FINE : EXIT_NOT_FINE;
}

int explain_command(int argc, char** argv) {
  const char *recipients[MAX_RECIPIENTS], *macros[MAX_MACROS], *too_many = NULL;
  const char *line = NULL, *port = NULL, *message = NULL;
  postern_config_options config = POSTERN_CONFIG_OPTIONS_INIT;
  postern_explain_options question = POSTERN_EXPLAIN_OPTIONS_INIT;
  int json = 0, tls = 0, ask_filters = 0, status = 0, i, kept = 0;
  char* rest[256];
  char* text = NULL;
  size_t len = 0;
  uint64_t line_number = 0, port_number = 0;
  const struct option options[] = {
      {"-f", "FILE", "the configuration", &config.config_path, NULL},
      {"--from", "ADDRESS", "the sender of MAIL FROM; \"\" is the null one", &question.sender,
       NULL},
      {"--to", "ADDRESS", "the recipient of RCPT TO; may be repeated", &too_many, NULL},
      {"--client", "ADDRESS", "where the client is; without: on this machine's local socket",
       &question.client_ip, NULL},
      {"--rdns", "NAME", "the client's name; without, the DNS is asked when a rule wants it",
       &question.reverse_name, NULL},
      {"--helo", "NAME", "the client's name in EHLO", &question.helo, NULL},
      {"--auth", "USER", "who logs in; the password counts as right", &question.login, NULL},
      {"--tls", NULL, "the client uses STARTTLS where it is offered", NULL, &tls},
      {"--listener", "LINE", "by the listener at this line of the file", &line, NULL},
      {"--port", "PORT", "... or on this port", &port, NULL},
      {"--tag", "TAG", "... or with this tag", &question.tag, NULL},
      {"--ask-filters", NULL, "start the filters that are programs, and ask milters, as well", NULL,
       &ask_filters},
      {"-D", "NAME=VALUE", "set a macro; may be repeated", &too_many, NULL},
      {"--json", NULL, "print a JSON object", NULL, &json},
      {NULL, NULL, NULL, NULL, NULL}};
  const struct verb verb = {
      "explain", "[MESSAGE]",
      "Says which listener, filter, rule, expansion and action a recipient's mail takes, each\n"
      "with its line, and why each rule before did not. The server's own code answers; nothing\n"
      "is sent. Filters of the language are asked; programs and milters are named, and asked\n"
      "with --ask-filters: they see a session with this mail then.\n"
      "MESSAGE, a file (- for standard input), is looked at as DATA would be. Ends with 0 when\n"
      "all is accepted, 1 when something is refused, 2 for a wrong call.",
      options, 1};
  for (i = 0; i < argc && kept < 256; ++i) {
    if (!repeated("--to", argc, argv, &i, recipients, &question.recipient_count, MAX_RECIPIENTS) &&
        !repeated("-D", argc, argv, &i, macros, &config.macro_count, MAX_MACROS))
      rest[kept++] = argv[i];
  }
  if (read_options(&verb, kept, rest, &message, &status)) return status;
  if (question.sender == NULL || question.recipient_count == 0 || too_many != NULL) {
    fprintf(stderr, "postern explain: %s\n",
            too_many != NULL          ? "too many recipients or macros"
            : question.sender == NULL ? "--from is missing"
                                      : "--to is missing");
    show_usage(&verb, 1);
    return EXIT_USAGE;
  }
  if (read_number(verb.name, "--listener", line, 1, 10000000, &line_number) ||
      read_number(verb.name, "--port", port, 1, 65535, &port_number))
    return EXIT_USAGE;
  question.listener_line = (int32_t)line_number;
  question.port = (int32_t)port_number;
  if (config.config_path == NULL) config.config_path = "/etc/mail/smtpd.conf";
  config.macros = macros;
  question.recipients = recipients;
  question.tls = (uint8_t)tls;
  question.ask_filters = (uint8_t)ask_filters;
  if (message != NULL) {
    if (read_file(message, &text, &len)) return EXIT_USAGE;
    question.message = text;
    question.message_len = len;
  }
  status = explain(&config, &question, json);
  free(text);
  return status;
}
