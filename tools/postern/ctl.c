/* postern ctl: asks a running server, as smtpctl(8) does. By that name, and as mailq, newaliases
 * and makemap, the program is this. */
#define _GNU_SOURCE
#include "options.h"
#include "verbs.h"
#include <errno.h>
#include <postern.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_LINE 4096

/* say_string writes a JSON string. Octets beyond ASCII are passed on: what is shown is UTF-8. */
static void say_string(const char* text, size_t len) {
  size_t i;
  putchar('"');
  for (i = 0; i < len; ++i) {
    const unsigned char octet = (unsigned char)text[i];
    if (octet == '"' || octet == '\\')
      printf("\\%c", octet);
    else if (octet < 0x20 || octet == 0x7f)
      printf("\\u%04x", octet);
    else
      putchar(octet);
  }
  putchar('"');
}

/* say_error tells what is wrong to one who reads JSON, as the server does of verbs that fail. */
static void say_error(const char* text, size_t len) {
  while (len > 0 && text[len - 1] == '\n') --len;
  printf("{\"ok\":false,\"error\":");
  say_string(text, len);
  printf("}\n");
}

/* errors is where what goes to stderr is kept for say_error; NULL: it goes there. */
static void show_answer(int32_t is_error, const char* text, size_t len, void* errors) {
  FILE* to = !is_error ? stdout : errors != NULL ? errors : stderr;
  /* Nobody reads any more: `smtpctl show queue | head`. */
  if (fwrite(text, 1, len, to) != len || fflush(to) != 0) exit(1);
}

static int usage(FILE* to) {
  fprintf(to,
          "usage: postern ctl [--json] [-f smtpd.conf | -s spool | -S socket] VERB ...\n"
          "The verbs are those of smtpctl(8), and: free, metrics, reload, show parked, trace\n"
          "ADDRESS. Words may be shortened. A verb that is not known gets the list.\n");
  return to == stdout ? 0 : 1;
}

/* starts tells whether `word` is `whole`, or its beginning. */
static int starts(const char* word, const char* whole) {
  return *word != '\0' && strncmp(word, whole, strlen(word)) == 0;
}

static void chomp(char* line) { line[strcspn(line, "\r\n")] = '\0'; }

static int encrypt_one(const char* password, int json) {
  postern_buf hash = {NULL, 0};
  postern_error* error = NULL;
  const postern_status status = postern_password_hash(&hash, password, strlen(password), &error);
  if (status != POSTERN_OK && json) {
    say_error(postern_error_message(error), strlen(postern_error_message(error)));
    postern_error_free(error);
    return 1;
  }
  if (status != POSTERN_OK) {
    (void)complain_about("encrypt", status, error);
    return 1;
  }
  if (json) {
    printf("{\"hash\":");
    say_string(hash.data, hash.len);
    printf("}\n");
  } else {
    printf("%s\n", hash.data);
  }
  postern_buf_free(&hash);
  return 0;
}

static int encrypt(const char* password, int json) {
  char line[MAX_LINE];
  int status = 0;
  if (password != NULL) return encrypt_one(password, json);
  while (fgets(line, sizeof line, stdin) != NULL) {
    chomp(line);
    if (encrypt_one(line, json) != 0) status = 1;
  }
  return status;
}

static int compare_texts(const void* a, const void* b) { return strcmp(a, b); }

/* print_network shows each network once, whichever of the domains has it. */
static void print_network(const char* network, void* user_data) {
  void** seen = user_data;
  char* copy;
  if (tfind(network, seen, compare_texts) != NULL) return;
  copy = strdup(network);
  if (copy != NULL && tsearch(copy, seen, compare_texts) == NULL) free(copy);
  printf("%s\n", network);
}

static void print_remark(const char* remark, void* user_data) {
  (void)user_data;
  fprintf(stderr, "spf walk: %s\n", remark);
}

static int spf_walk(const char* zone, const char* servers) {
  postern_resolver* resolver = NULL;
  postern_spf_walk_callbacks callbacks = POSTERN_SPF_WALK_CALLBACKS_INIT;
  void* seen = NULL;
  char line[MAX_LINE];
  int status = open_resolver(zone, servers, &resolver);
  if (status != 0) return 1;
  callbacks.on_network = print_network;
  callbacks.user_data = &seen;
  callbacks.on_remark = print_remark;
  while (status == 0 && fgets(line, sizeof line, stdin) != NULL) {
    postern_error* error = NULL;
    postern_status walked;
    chomp(line);
    if (*line == '\0' || *line == '#') continue;
    walked = postern_spf_walk(resolver, line, &callbacks, &error);
    if (walked != POSTERN_OK) status = complain_about("spf walk", walked, error);
    fflush(stdout);
  }
  postern_resolver_free(resolver);
  tdestroy(seen, free);
  return status == 0 ? 0 : 1;
}

/* ask_for_json is ask for one who reads JSON: what is wrong comes to stdout as an object. */
static int ask_for_json(postern_control_options* options) {
  int32_t exit_status = 1;
  postern_error* error = NULL;
  char* text = NULL;
  size_t len = 0;
  FILE* errors = open_memstream(&text, &len);
  postern_status status;
  if (errors == NULL) return 1;
  options->on_output = show_answer;
  options->user_data = errors;
  status = postern_control_ask(&exit_status, options, &error);
  if (status != POSTERN_OK) {
    const int gone =
        status == POSTERN_ERR_NOT_FOUND && strcmp(postern_error_reason(error), "not-running") == 0;
    const char* message = postern_error_message(error);
    exit_status = 1;
    fprintf(errors, "%s%s", gone ? "smtpd doesn't seem to be running: " : "",
            *message == '\0' ? postern_status_name(status) : message);
    postern_error_free(error);
  }
  fclose(errors);
  if (len > 0 && exit_status != 0)
    say_error(text, len);
  else
    fwrite(text, 1, len, stderr);
  free(text);
  return (int)exit_status;
}

static int ask(postern_control_options* options) {
  int32_t exit_status = 1;
  postern_error* error = NULL;
  postern_status status;
  if (options->json) return ask_for_json(options);
  options->on_output = show_answer;
  status = postern_control_ask(&exit_status, options, &error);
  if (status == POSTERN_OK) return (int)exit_status;
  if (status == POSTERN_ERR_NOT_FOUND && strcmp(postern_error_reason(error), "not-running") == 0) {
    fprintf(stderr, "smtpd doesn't seem to be running\n(%s)\n", postern_error_message(error));
    postern_error_free(error);
    return 1;
  }
  (void)complain_about("ctl", status, error);
  return 1;
}

int ctl_command(int argc, char** argv) {
  postern_control_options options = POSTERN_CONTROL_OPTIONS_INIT;
  const char** words = calloc((size_t)argc + 1, sizeof *words);
  const char *zone = NULL, *servers = NULL;
  int i, status;
  if (words == NULL) return 1;
  for (i = 0; i < argc; ++i) {
    const char* value = i + 1 < argc ? argv[i + 1] : NULL;
    if (strcmp(argv[i], "--json") == 0) {
      options.json = 1;
    } else if (strcmp(argv[i], "--help") == 0) {
      free(words);
      return usage(stdout);
    } else if (options.word_count == 0 && argv[i][0] == '-' && value != NULL &&
               strchr("fsS", argv[i][1]) != NULL && argv[i][1] != '\0' && argv[i][2] == '\0') {
      if (argv[i][1] == 'f') options.config_path = value;
      if (argv[i][1] == 's') options.spool_path = value;
      if (argv[i][1] == 'S') options.socket_path = value;
      ++i;
    } else if (strcmp(argv[i], "--zone") == 0 && value != NULL) {
      zone = argv[++i];
    } else if (strcmp(argv[i], "--server") == 0 && value != NULL) {
      servers = argv[++i];
    } else {
      words[options.word_count++] = argv[i];
    }
  }
  options.words = words;
  /* What needs no server. */
  if (options.word_count >= 1 && options.word_count <= 2 && starts(words[0], "encrypt")) {
    status = encrypt(options.word_count == 2 ? words[1] : NULL, options.json != 0);
  } else if (options.word_count == 2 && strlen(words[0]) > 1 && starts(words[0], "spf") &&
             starts(words[1], "walk")) {
    status = spf_walk(zone, servers);
  } else {
    status = ask(&options);
  }
  free(words);
  return status;
}

/* newaliases(8) made a database of /etc/mail/aliases; here the server reads the file itself. */
static int newaliases(void) {
  const char* words[] = {"update", "table", "aliases"};
  postern_control_options options = POSTERN_CONTROL_OPTIONS_INIT;
  options.words = words;
  options.word_count = 3;
  return ask(&options);
}

/* mailq takes ctl's options; those of others that a script may give it mean nothing here. */
static int mailq(int argc, char** argv) {
  char** words = calloc((size_t)argc + 2, sizeof *words);
  int i, count = 0, status;
  if (words == NULL) return 1;
  for (i = 0; i < argc; ++i) {
    if (strcmp(argv[i], "--json") == 0) {
      words[count++] = argv[i];
    } else if (i + 1 < argc && (strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "-s") == 0 ||
                                strcmp(argv[i], "-S") == 0)) {
      words[count++] = argv[i];
      words[count++] = argv[++i];
    }
  }
  words[count++] = (char*)"show";
  words[count++] = (char*)"queue";
  status = ctl_command(count, words);
  free(words);
  return status;
}

static int makemap(void) {
  fprintf(stderr,
          "makemap: nothing is made: the tables of smtpd.conf are read as they are. Use\n"
          "  table aliases file:/etc/mail/aliases\n"
          "and after a change `smtpctl update table aliases`. Databases that another makemap made\n"
          "(table aliases db:/etc/mail/aliases.db) are read as well.\n");
  return 64; /* EX_USAGE */
}

int called_by_name(const char* name, int argc, char** argv) {
  if (strcmp(name, "smtpctl") == 0) return ctl_command(argc, argv);
  if (strcmp(name, "sendmail") == 0 || strcmp(name, "send-mail") == 0)
    return sendmail_command(argc, argv);
  if (strcmp(name, "mailq") == 0) {
    return mailq(argc, argv);
  }
  if (strcmp(name, "newaliases") == 0) return newaliases();
  if (strcmp(name, "makemap") == 0) return makemap();
  return -1;
}
