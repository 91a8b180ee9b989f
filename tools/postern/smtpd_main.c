/* postern-smtpd: the mail daemon with smtpd(8)'s flags. It stays in the foreground, as service
 * managers want it. */
#include "serve.h"
#include <postern.h>
#include <stdio.h>
#include <unistd.h>

static int usage(void) {
  fprintf(stderr, "usage: postern-smtpd [-dnv] [-D name=value] [-f file] [-s spool] [-u user]\n");
  return 1;
}

int main(int argc, char** argv) {
  static const char* macros[MAX_MACROS];
  static const struct check_options plain;
  struct serve_options options = {
      .config_path = "/etc/mail/smtpd.conf", .log_level = POSTERN_LOG_INFO, .macros = macros};
  int only_check = 0;
  int letter;
  while ((letter = getopt(argc, argv, "D:df:ns:u:v")) != -1) {
    switch (letter) {
      case 'D':
        if (options.macro_count == MAX_MACROS) return usage();
        macros[options.macro_count++] = optarg;
        break;
      case 'd': /* do not daemonize: what we do anyway */ break;
      case 'f': options.config_path = optarg; break;
      case 'n': only_check = 1; break;
      case 's': options.spool_path = optarg; break;
      case 'u': options.user = optarg; break;
      case 'v': options.log_level = POSTERN_LOG_DEBUG; break;
      default: return usage();
    }
  }
  if (optind != argc) return usage();
  return only_check ? check(&options, &plain) : serve(&options);
}
