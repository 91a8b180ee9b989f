#define _GNU_SOURCE
#include "serve.h"

#include <postern.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define GRACE_MS 15000

static int complain(const char* what, postern_status status, postern_error* error) {
  const char* message = postern_error_message(error);
  if (*message == '\0') message = postern_status_name(status);
  /* What is wrong with the file names it already: "stat smtpd.conf: No such file". */
  if (strcmp(postern_error_reason(error), "config") == 0 || strstr(message, what) != NULL) {
    fprintf(stderr, "%s\n", message);
  } else {
    fprintf(stderr, "%s: %s\n", what, message);
  }
  postern_error_free(error);
  return 1;
}

/* account_to_become says whom a server of root's becomes: NULL for nobody else. "-u root" keeps
 * root's rights, and so does a machine without the account. */
static const char kAccount[] = "postern";
static const char* account_to_become(const struct serve_options* options) {
  if (geteuid() != 0) return NULL;
  if (options->user != NULL) return strcmp(options->user, "root") == 0 ? NULL : options->user;
  return getpwnam(kAccount) != NULL ? kAccount : NULL;
}

/* log_lines logs `text`, which may have several lines. */
static void log_lines(postern_server* server, int32_t level, const char* what, const char* text) {
  char line[2048];
  for (;;) {
    const size_t length = strcspn(text, "\n");
    snprintf(line, sizeof line, "%s%.*s", what, (int)length, text);
    postern_server_log(server, level, line);
    if (text[length] == '\0') return;
    text += length + 1;
  }
}

/* ask_queue_key reads the key of `queue encryption` where the file has none: a line of the standard
 * input, or what is typed at the terminal, unseen. */
static postern_status ask_queue_key(int32_t from_stdin, char* into, size_t room, void* user_data) {
  FILE* from = from_stdin ? stdin : fopen("/dev/tty", "r+");
  struct termios before, unseen;
  int hidden = 0;
  char* line;
  (void)user_data;
  if (from == NULL) return POSTERN_ERR_NOT_FOUND;
  if (!from_stdin) {
    fputs("key of the queue: ", from);
    fflush(from);
    hidden = tcgetattr(fileno(from), &before) == 0;
    if (hidden) {
      unseen = before;
      unseen.c_lflag &= ~(tcflag_t)ECHO;
      tcsetattr(fileno(from), TCSAFLUSH, &unseen);
    }
  }
  line = fgets(into, (int)room, from);
  if (hidden) {
    tcsetattr(fileno(from), TCSAFLUSH, &before);
    fputs("\n", from);
  }
  if (!from_stdin) fclose(from);
  if (line == NULL) return POSTERN_ERR_NOT_FOUND;
  line[strcspn(line, "\r\n")] = '\0';
  return POSTERN_OK;
}

static int open_server(const struct serve_options* options, postern_server** server) {
  postern_log_output output = POSTERN_LOG_OUTPUT_INIT;
  postern_server_options server_options = POSTERN_SERVER_OPTIONS_INIT;
  postern_error* error = NULL;
  postern_status status;
  server_options.config_path = options->config_path;
  server_options.spool_path = options->spool_path;
  server_options.workers = (uint16_t)options->workers;
  server_options.log_level = options->log_level;
  output.target = options->log_target != NULL ? options->log_target : "stderr";
  output.json = (uint8_t)options->log_json;
  server_options.log_output = &output;
  server_options.run_as = account_to_become(options);
  server_options.macros = options->macros;
  server_options.macro_count = options->macro_count;
  server_options.queue_key = ask_queue_key;
  status = postern_server_new(server, &server_options, &error);
  return status == POSTERN_OK ? 0 : complain(options->config_path, status, error);
}

static void block_signals(sigset_t* set) {
  sigemptyset(set);
  sigaddset(set, SIGINT);
  sigaddset(set, SIGTERM);
  sigaddset(set, SIGHUP);
  pthread_sigmask(SIG_BLOCK, set, NULL);
}

struct signal_thread {
  postern_server* server;
};

/* SIGHUP reloads, SIGINT and SIGTERM stop. */
static void* wait_for_signals(void* argument) {
  postern_server* server = ((struct signal_thread*)argument)->server;
  sigset_t set;
  int number = 0;
  block_signals(&set);
  while (sigwait(&set, &number) == 0) {
    postern_error* error = NULL;
    if (number != SIGHUP) break;
    if (postern_server_reopen_log(server, &error) != POSTERN_OK)
      log_lines(server, POSTERN_LOG_ERROR, "log not reopened: ", postern_error_message(error));
    postern_error_free(error);
    error = NULL;
    if (postern_server_reload(server, &error) == POSTERN_OK) {
      log_lines(server, POSTERN_LOG_INFO, "configuration reloaded", "");
    } else {
      log_lines(server, POSTERN_LOG_ERROR,
                "configuration not reloaded: ", postern_error_message(error));
    }
    postern_error_free(error);
  }
  postern_server_stop(server, GRACE_MS);
  return NULL;
}

/* Every session is a descriptor: the soft limit of 1,024 is for programs that use select(2). */
static void raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/* The octets of a large message are for a moment. glibc keeps them for later, more with every one
 * that is freed (up to 32 MiB), unless it is told where to draw the line. */
static void give_back_large_blocks(void) {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  mallopt(M_TRIM_THRESHOLD, 4 << 20);
#endif
}

int serve(const struct serve_options* options) {
  postern_server* server = NULL;
  postern_error* error = NULL;
  postern_status status;
  pthread_t signals;
  struct signal_thread for_signals;
  sigset_t set;
  size_t i;
  /* Whoever started us may ignore it, and what is ignored outlives exec: we would not hear how the
   * programs that get mail have fared. */
  signal(SIGCHLD, SIG_DFL);
  give_back_large_blocks();
  raise_descriptor_limit();
  block_signals(&set);
  if (open_server(options, &server) != 0) return 1;
  status = postern_server_start(server, &error);
  if (status != POSTERN_OK) {
    postern_server_free(server);
    return complain(options->config_path, status, error);
  }
  for (i = 0; i < postern_server_endpoint_count(server); ++i) {
    fprintf(stderr, "listening on %s\n", postern_server_endpoint(server, i));
  }
  if (geteuid() == 0 && options->user == NULL && getpwnam(kAccount) == NULL) {
    fprintf(stderr, "no account \"%s\": the server keeps the rights of root\n", kAccount);
  }
  for_signals.server = server;
  if (pthread_create(&signals, NULL, wait_for_signals, &for_signals) != 0) {
    fprintf(stderr, "no thread for signals\n");
    postern_server_free(server);
    return 1;
  }
  status = postern_server_run(server, &error);
  pthread_cancel(signals);
  pthread_join(signals, NULL);
  postern_server_free(server);
  return status == POSTERN_OK ? 0 : complain("serve", status, error);
}
