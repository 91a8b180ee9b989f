/* What the programs share: run a server in the foreground until a signal, or check a configuration.
 */
#ifndef POSTERN_TOOLS_SERVE_H
#define POSTERN_TOOLS_SERVE_H

#include <stddef.h>

/* What the command line asked for. Strings live as long as main. */
struct serve_options {
  const char* config_path;
  const char* spool_path; /* NULL: as the configuration says */
  const char* log_target; /* of -L; NULL: standard error */
  int log_json;           /* of -j */
  int log_level;          /* least POSTERN_LOG_* that is shown */
  unsigned workers;       /* 0: the library's default */
  const char* user;    /* whom a server that root starts becomes; NULL: "postern" if there is one */
  const char** macros; /* "name=value" each, of -D */
  size_t macro_count;
};

/* At most so many -D of one call. */
enum { MAX_MACROS = 64 };

/* serve runs the server until SIGINT or SIGTERM and returns the exit status of the program: 0, or 1
 * after saying on standard error what is wrong. */
int serve(const struct serve_options* options);

/* How `check` speaks, beside what it reads. */
struct check_options {
  const char** ignore; /* codes of findings that are left out */
  size_t ignore_count;
  int json; /* a JSON object on standard output instead of lines on standard error */
};

/* check says whether the configuration is right, or what is wrong where; returns 0, or 1 when there
 * is an error. */
int check(const struct serve_options* options, const struct check_options* how);

#endif /* POSTERN_TOOLS_SERVE_H */
