/* postern check: is a configuration right, and does it mean what it seems to? */
#include "options.h"
#include "serve.h"
#include "verbs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_IGNORED = 32, MAX_SHOWN = 100 };

/* show prints the findings as compilers do: file:line:column: warning: what. Of each severity the
 * first MAX_SHOWN are shown and the rest counted; --json has them all. */
static void show(const postern_findings* findings) {
  static const char* const kNames[] = {"note", "warning", "error"};
  unsigned long shown[] = {0, 0, 0};
  size_t i;
  int severity;
  for (i = 0; i < postern_findings_count(findings); ++i) {
    const int line = (int)postern_findings_line(findings, i);
    const char* code = postern_findings_code(findings, i);
    const char* edit = postern_findings_edit(findings, i);
    severity = postern_findings_severity(findings, i);
    if (++shown[severity] > MAX_SHOWN) continue;
    fprintf(stderr, "%s:", postern_findings_file(findings, i));
    if (line > 0) fprintf(stderr, "%d:", line);
    if (postern_findings_column(findings, i) > 0)
      fprintf(stderr, "%d:", (int)postern_findings_column(findings, i));
    fprintf(stderr, " %s: %s", kNames[severity], postern_findings_message(findings, i));
    fprintf(stderr, *code ? " [%s]\n" : "%s\n", code);
    if (*edit) fprintf(stderr, "    to mend it: %s\n", edit);
  }
  for (severity = POSTERN_FINDING_ERROR; severity >= POSTERN_FINDING_NOTE; --severity) {
    if (shown[severity] > MAX_SHOWN)
      fprintf(stderr, "and %lu %ss more\n", shown[severity] - MAX_SHOWN, kNames[severity]);
  }
}

static void count(const postern_findings* findings, int severity, const char* one, const char* many,
                  const char** front) {
  const unsigned long n = (unsigned long)postern_findings_count_of(findings, severity);
  if (n == 0) return;
  fprintf(stderr, "%s%lu %s", *front, n, n == 1 ? one : many);
  *front = ", ";
}

/* tell_of_other_machines says how to check the file of another machine, when errors are this one's
 * alone. */
static void tell_of_other_machines(const postern_findings* findings) {
  static const char* const kCodes[] = {"address", "port-taken", "spool"};
  const char* front = "    for the file of another machine: postern check --ignore ";
  size_t i, k;
  for (k = 0; k < sizeof kCodes / sizeof *kCodes; ++k) {
    for (i = 0; i < postern_findings_count(findings); ++i) {
      if (postern_findings_severity(findings, i) != POSTERN_FINDING_ERROR ||
          strcmp(postern_findings_code(findings, i), kCodes[k]) != 0)
        continue;
      fprintf(stderr, "%s%s", front, kCodes[k]);
      front = ",";
      break;
    }
  }
  if (*front == ',') fputc('\n', stderr);
}

/* ignore_codes adds each of "spool,address" to what is ignored, taking `codes` to pieces; returns 1
 * when there is no room. */
static int ignore_codes(struct check_options* how, char* codes) {
  char* code;
  for (code = strtok(codes, ","); code != NULL; code = strtok(NULL, ",")) {
    if (how->ignore_count == MAX_IGNORED) return 1;
    how->ignore[how->ignore_count++] = code;
  }
  return 0;
}

static void sum_up(const postern_findings* findings) {
  const char* front = " (";
  fprintf(stderr, "configuration OK");
  count(findings, POSTERN_FINDING_WARNING, "warning", "warnings", &front);
  count(findings, POSTERN_FINDING_NOTE, "note", "notes", &front);
  fprintf(stderr, *front == ',' ? ")\n" : "\n");
}

int check(const struct serve_options* options, const struct check_options* how) {
  postern_config_options config = POSTERN_CONFIG_OPTIONS_INIT;
  postern_findings* findings = NULL;
  postern_error* error = NULL;
  postern_status status;
  int wrong;
  config.config_path = options->config_path;
  config.spool_path = options->spool_path;
  config.macros = options->macros;
  config.macro_count = options->macro_count;
  config.ignore = how->ignore;
  config.ignore_count = how->ignore_count;
  status = postern_config_check(&findings, &config, &error);
  if (status != POSTERN_OK) {
    fprintf(stderr, "postern: %s\n", postern_error_message(error));
    postern_error_free(error);
    return 1;
  }
  wrong = postern_findings_count_of(findings, POSTERN_FINDING_ERROR) > 0;
  if (how->json) {
    printf("%s\n", postern_findings_json(findings));
  } else {
    show(findings);
    if (wrong) tell_of_other_machines(findings);
    if (!wrong) sum_up(findings);
  }
  postern_findings_free(findings);
  return wrong;
}

/* upgrade prints the diff from a file of before 6.4 to today's words on standard output, and on
 * standard error what cannot be said in them. */
static int upgrade(const char* path) {
  char* text;
  size_t len;
  postern_upgrade* made = NULL;
  postern_error* error = NULL;
  postern_status status;
  const char* diff;
  const char* name = path;
  int wrong;
  if (read_file(path, &text, &len)) return EXIT_USAGE;
  if (strcmp(path, "-") == 0) name = "smtpd.conf";
  status = postern_config_upgrade(&made, name, text, len, &error);
  free(text);
  if (status != POSTERN_OK) return complain_about(path, status, error);
  diff = postern_upgrade_diff(made);
  fputs(diff, stdout);
  if (*diff == '\0') fprintf(stderr, "%s is in today's grammar: nothing to change\n", path);
  show(postern_upgrade_findings(made));
  wrong = postern_findings_count_of(postern_upgrade_findings(made), POSTERN_FINDING_ERROR) > 0;
  postern_upgrade_free(made);
  return wrong ? EXIT_NOT_FINE : EXIT_FINE;
}

int config_check_command(int argc, char** argv) {
  const char* macros[MAX_MACROS];
  const char* ignore[MAX_IGNORED];
  struct serve_options config = {.macros = macros};
  struct check_options how = {ignore, 0, 0};
  const char* operand = NULL;
  int wants_upgrade = 0;
  const char* too_many = NULL; /* what had no room in `macros` or `ignore` */
  const struct option options[] = {
      {"-f", "FILE", "the configuration; also as a word of its own", &config.config_path, NULL},
      {"-s", "SPOOL", "the spool, when the file does not name it", &config.spool_path, NULL},
      {"-D", "NAME=VALUE", "set a macro; may be repeated", &too_many, NULL},
      {"--ignore", "CODE,...", "leave such findings out: senders, dkim, ...; may be repeated",
       &too_many, NULL},
      {"--json", NULL, "print a JSON object", NULL, &how.json},
      {"--upgrade", NULL, "print a file of before 6.4 in today's words, as a diff", NULL,
       &wants_upgrade},
      {NULL, NULL, NULL, NULL, NULL}};
  const struct verb verb = {
      "check", "[FILE]",
      "Says all that is wrong with a configuration and with what it points to (tables, "
      "certificates,\n"
      "accounts, ports), and where it means another thing than it seems to: an open relay, a rule\n"
      "that can never match, what nothing uses. Each with its line and what would mend it.\n"
      "Opens nothing for mail and changes nothing. Ends with 0 when a server would start, else 1;\n"
      "2 for a wrong call. With --upgrade: 0 when all of the file can be said today, else 1.\n"
      "The file of another machine: --ignore address,port-taken,spool.",
      options, 1};
  int status, i, kept = 0;
  char* rest[256];
  for (i = 0; i < argc && kept < 256; ++i) {
    if (strcmp(argv[i], "-D") == 0 && i + 1 < argc && config.macro_count < MAX_MACROS) {
      macros[config.macro_count++] = argv[++i];
    } else if (strcmp(argv[i], "--ignore") == 0 && i + 1 < argc) {
      if (ignore_codes(&how, argv[++i])) too_many = argv[i];
    } else if (strncmp(argv[i], "--ignore=", 9) == 0) {
      if (ignore_codes(&how, argv[i] + 9)) too_many = argv[i];
    } else {
      rest[kept++] = argv[i];
    }
  }
  if (read_options(&verb, kept, rest, &operand, &status)) return status;
  if ((operand != NULL && config.config_path != NULL) || too_many != NULL) {
    fprintf(stderr, "postern check: %s\n",
            too_many != NULL ? "too many macros, or codes to ignore" : "one file at a time");
    return EXIT_USAGE;
  }
  if (operand != NULL) config.config_path = operand;
  if (config.config_path == NULL) config.config_path = "/etc/mail/smtpd.conf";
  return wants_upgrade ? upgrade(config.config_path) : check(&config, &how);
}
