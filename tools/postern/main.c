/* postern: the one program for people. `postern serve` runs a server; the other verbs have a file
 * of their own. */
#include "serve.h"
#include "verbs.h"
#include <postern.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORKERS 64

static int usage(FILE* to) {
  fprintf(
      to,
      "usage: postern serve -f smtpd.conf [-D name=value] [-s spool]     run what the file asks "
      "for, "
      "in the foreground\n"
      "                     [-u user] [-w workers] [-v] [-L log] [-j]\n"
      "       postern check [--json] smtpd.conf                          all that is wrong with "
      "it, "
      "and what would mend it\n"
      "       postern explain -f smtpd.conf --from A --to B ...          where a mail would go, "
      "and "
      "why\n"
      "       postern parse [FILE] [--json] [--text] [--part N]          what a message is made "
      "of\n"
      "       postern spf --ip ADDRESS --from ADDRESS [--helo NAME]      whether a sender's domain "
      "lets a client send\n"
      "       postern dkim sign|verify|keygen ...                        signatures of messages, "
      "and keys for them\n"
      "       postern arc verify|seal ...                                the chain of those who "
      "handled a message\n"
      "       postern dmarc DOMAIN | check [FILE] | report [FILE]        policies, mail judged by "
      "them, reports\n"
      "       postern auth [FILE] --ip ADDRESS --from ADDRESS            all that a receiver "
      "checks about a message\n"
      "       postern ctl [-f smtpd.conf] [--json] VERB ...              ask a running server "
      "(also as smtpctl)\n"
      "       postern sendmail [-t] [-f sender] [recipient ...]          hand in a message (also "
      "as sendmail)\n"
      "       postern version\n");
  return to == stdout ? 0 : 2;
}

/* read_workers reads the value of -w; 0 after saying what is wrong with it. */
static unsigned read_workers(const char* value) {
  char* end = NULL;
  const long number = strtol(value, &end, 10);
  if (*value != '\0' && *end == '\0' && number >= 1 && number <= MAX_WORKERS)
    return (unsigned)number;
  fprintf(stderr, "postern: -w %s: a number of event loops from 1 to %d is wanted\n", value,
          MAX_WORKERS);
  return 0;
}

int main(int argc, char** argv) {
  static const char* macros[MAX_MACROS];
  struct serve_options options = {
      .config_path = "/etc/mail/smtpd.conf", .log_level = POSTERN_LOG_INFO, .macros = macros};
  const char* command = argc > 1 ? argv[1] : "";
  int i;
  const char* slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
  const int by_name =
      called_by_name(slash == NULL ? (argc > 0 ? argv[0] : "") : slash + 1, argc - 1, argv + 1);
  if (by_name >= 0) return by_name;
  if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
    printf("postern %s (%s)\n", postern_version(), postern_features());
    return 0;
  }
  if (strcmp(command, "help") == 0 || strcmp(command, "--help") == 0) return usage(stdout);
  if (strcmp(command, "ctl") == 0) return ctl_command(argc - 2, argv + 2);
  if (strcmp(command, "sendmail") == 0) return sendmail_command(argc - 2, argv + 2);
  if (strcmp(command, "parse") == 0) return parse_command(argc - 2, argv + 2);
  if (strcmp(command, "auth") == 0) return auth_command(argc - 2, argv + 2);
  if (strcmp(command, "dmarc") == 0) return dmarc_command(argc - 2, argv + 2);
  if (strcmp(command, "spf") == 0) return spf_command(argc - 2, argv + 2);
  if (strcmp(command, "dkim") == 0) return dkim_command(argc - 2, argv + 2);
  if (strcmp(command, "arc") == 0) return arc_command(argc - 2, argv + 2);
  if (strcmp(command, "check") == 0) return config_check_command(argc - 2, argv + 2);
  if (strcmp(command, "explain") == 0) return explain_command(argc - 2, argv + 2);
  for (i = 2; i < argc; ++i) {
    const char* value = i + 1 < argc ? argv[i + 1] : NULL;
    if (strcmp(argv[i], "-v") == 0) {
      options.log_level = POSTERN_LOG_DEBUG;
    } else if (strcmp(argv[i], "-j") == 0) {
      options.log_json = 1;
    } else if (strcmp(argv[i], "-L") == 0 && value != NULL) {
      options.log_target = argv[++i];
    } else if (strcmp(argv[i], "-f") == 0 && value != NULL) {
      options.config_path = argv[++i];
    } else if (strcmp(argv[i], "-D") == 0 && value != NULL && options.macro_count < MAX_MACROS) {
      macros[options.macro_count++] = argv[++i];
    } else if (strcmp(argv[i], "-s") == 0 && value != NULL) {
      options.spool_path = argv[++i];
    } else if (strcmp(argv[i], "-u") == 0 && value != NULL) {
      options.user = argv[++i];
    } else if (strcmp(argv[i], "-w") == 0 && value != NULL) {
      options.workers = read_workers(argv[++i]);
      if (options.workers == 0) return 2;
    } else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
      return usage(stdout);
    } else if (strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "-s") == 0 ||
               strcmp(argv[i], "-u") == 0 || strcmp(argv[i], "-w") == 0 ||
               strcmp(argv[i], "-L") == 0) {
      fprintf(stderr, "postern: %s wants a value behind it\n", argv[i]);
      return usage(stderr);
    } else {
      fprintf(stderr, "postern: %s: unknown option\n", argv[i]);
      return usage(stderr);
    }
  }
  if (strcmp(command, "serve") == 0) return serve(&options);
  if (*command != '\0') fprintf(stderr, "postern: there is no command '%s'\n", command);
  return usage(stderr);
}
