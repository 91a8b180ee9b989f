/* sendmail: hands a message in, over the control socket of the server; where none answers, into a
 * folder of the spool that the server takes up when it starts. It takes the flags that programs
 * really use. */
#define _GNU_SOURCE
#include "sendmail.h"

#include "verbs.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <postern.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

struct call {
  const char *sender, *full_name, *notify, *returns, *envelope_id;
  const char *config, *spool;
  int take_recipients, no_dot, verbose;
};

struct answer {
  struct text text;
};

static void keep_answer(int32_t is_error, const char* text, size_t len, void* user_data) {
  (void)is_error;
  add(&((struct answer*)user_data)->text, text, len);
}

static const char* login_name(void) {
  static char number[24];
  const struct passwd* account = getpwuid(getuid());
  if (account != NULL) return account->pw_name;
  snprintf(number, sizeof number, "uid%lu", (unsigned long)getuid());
  return number;
}

/* full_name_of is the account's: the first part of its gecos field. */
static const char* full_name_of(const struct call* call) {
  static char name[256];
  const struct passwd* account = getpwuid(getuid());
  if (call->full_name != NULL) return call->full_name;
  /* The account's name is of the account, not of who else is named by -f. */
  if (call->sender != NULL) return "";
  if (getenv("NAME") != NULL) return getenv("NAME");
  if (account == NULL || account->pw_gecos == NULL) return "";
  snprintf(name, sizeof name, "%.*s", (int)strcspn(account->pw_gecos, ","), account->pw_gecos);
  return name;
}

/* --- where the server is not --- */

static void add_line(struct text* file, char name, const char* value) {
  char head[4] = {name, ':', ' ', '\0'};
  if (value == NULL) return;
  add_string(file, head);
  add(file, value, strcspn(value, "\r\n"));
  add_string(file, "\n");
}

/* leave_offline puts the message into SPOOL/offline. The name is of chance, and the folder cannot
 * be listed: what lies there is found by the server alone, which must be able to read it. */
static int leave_offline(const char* spool, const struct call* call, const struct letter* letter,
                         const char* sender) {
  struct text file = {NULL, 0, 0};
  unsigned char chance[16];
  char temporary[PATH_MAX], name[PATH_MAX], hex[33];
  size_t i, at = 0;
  int fd;
  add_string(&file, "postern offline 1\n");
  add_line(&file, 'f', sender);
  add_line(&file, 'l', login_name());
  add_line(&file, 'N', call->notify);
  add_line(&file, 'R', call->returns);
  add_line(&file, 'V', call->envelope_id);
  for (i = 0; i < letter->recipient_count; ++i) add_line(&file, 't', letter->recipients[i]);
  add_string(&file, "\n");
  add(&file, letter->content.data, letter->content.len);
  if (getrandom(chance, sizeof chance, 0) != (ssize_t)sizeof chance) return EX_OSERR;
  for (i = 0; i < sizeof chance; ++i) snprintf(hex + 2 * i, 3, "%02x", chance[i]);
  snprintf(temporary, sizeof temporary, "%s/offline/new.%s", spool, hex);
  snprintf(name, sizeof name, "%s/offline/%lld.%s", spool, (long long)time(NULL), hex);
  umask(022);
  fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0) {
    fprintf(stderr, "sendmail: no server answers, and %s: %s\n", temporary, strerror(errno));
    free(file.data);
    return EX_TEMPFAIL;
  }
  while (at < file.len) {
    const ssize_t wrote = write(fd, file.data + at, file.len - at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) break;
    at += (size_t)wrote;
  }
  if (at < file.len || fsync(fd) != 0 || close(fd) != 0 || rename(temporary, name) != 0) {
    fprintf(stderr, "sendmail: no server answers, and %s: %s\n", temporary, strerror(errno));
    unlink(temporary);
    free(file.data);
    return EX_TEMPFAIL;
  }
  free(file.data);
  if (call->verbose) printf("queued until the server runs\n");
  return EX_OK;
}

/* --- where it is --- */

static int hand_in(const struct call* call, const struct letter* letter, const char* sender) {
  postern_control_options options = POSTERN_CONTROL_OPTIONS_INIT;
  struct answer answer = {{NULL, 0, 0}};
  postern_error* error = NULL;
  postern_buf spool = {NULL, 0};
  postern_status status;
  int32_t exit_status = EX_TEMPFAIL;
  const char** words = calloc(letter->recipient_count + 16, sizeof *words);
  size_t count = 0, i;
  int result;
  if (words == NULL) return EX_OSERR;
  words[count++] = "submit";
  words[count++] = "-f";
  words[count++] = sender;
  words[count++] = "-l";
  words[count++] = login_name();
  if (call->notify != NULL) words[count++] = "-N", words[count++] = call->notify;
  if (call->returns != NULL) words[count++] = "-R", words[count++] = call->returns;
  if (call->envelope_id != NULL) words[count++] = "-V", words[count++] = call->envelope_id;
  words[count++] = "--";
  for (i = 0; i < letter->recipient_count; ++i) words[count++] = letter->recipients[i];
  options.config_path = call->config;
  options.spool_path = call->spool;
  options.words = words;
  options.word_count = count;
  options.has_input = 1;
  options.input = letter->content.data;
  options.input_len = letter->content.len;
  options.on_output = keep_answer;
  options.user_data = &answer;
  status = postern_control_ask(&exit_status, &options, &error);
  result = (int)exit_status;
  if (status == POSTERN_ERR_INVALID_ARGUMENT) {
    fprintf(stderr, "sendmail: %s\n", postern_error_message(error));
    result = EX_DATAERR;
  } else if (status != POSTERN_OK || exit_status == EX_TEMPFAIL) {
    /* It would have to be tried again by somebody: the folder is read by the server for as long as
     * it takes. */
    const int found = postern_control_spool(&spool, &options, NULL) == POSTERN_OK;
    result = found ? leave_offline(spool.data, call, letter, sender) : EX_TEMPFAIL;
    if (result != EX_OK && answer.text.len > 0) fputs(answer.text.data, stderr);
  } else if (exit_status != 0) {
    fprintf(stderr, "sendmail: %s", answer.text.len > 0 ? answer.text.data : "refused\n");
  } else if (call->verbose && answer.text.len > 0) {
    fputs(answer.text.data, stdout);
  }
  postern_error_free(error);
  postern_buf_free(&spool);
  free(answer.text.data);
  free(words);
  return result;
}

/* --- -bs: SMTP on standard input and output, by the socket for it --- */

static int copy(int from, int to) {
  char buffer[16384];
  ssize_t got = read(from, buffer, sizeof buffer), at = 0;
  if (got <= 0) return got < 0 && errno == EINTR ? 1 : 0;
  while (at < got) {
    const ssize_t wrote = write(to, buffer + at, (size_t)(got - at));
    if (wrote < 0 && errno != EINTR) return 0;
    if (wrote > 0) at += wrote;
  }
  return 1;
}

static int speak_smtp(const struct call* call) {
  postern_control_options options = POSTERN_CONTROL_OPTIONS_INIT;
  postern_buf spool = {NULL, 0};
  struct sockaddr_un address;
  struct pollfd ends[2];
  int fd;
  options.config_path = call->config;
  options.spool_path = call->spool;
  if (postern_control_spool(&spool, &options, NULL) != POSTERN_OK) return EX_CONFIG;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof address.sun_path, "%s/submit.sock", spool.data);
  postern_buf_free(&spool);
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr*)&address, sizeof address) != 0) {
    printf("421 4.3.2 No server is running here: %s\r\n", strerror(errno));
    return EX_TEMPFAIL;
  }
  ends[0].fd = STDIN_FILENO;
  ends[1].fd = fd;
  ends[0].events = ends[1].events = POLLIN;
  for (;;) {
    if (poll(ends, 2, -1) < 0 && errno != EINTR) return EX_IOERR;
    if (ends[1].revents != 0 && !copy(fd, STDOUT_FILENO)) break;
    if (ends[0].fd >= 0 && ends[0].revents != 0 && !copy(STDIN_FILENO, fd)) {
      ends[0].fd = -1; /* what the server still says is shown */
      shutdown(fd, SHUT_WR);
    }
  }
  close(fd);
  return EX_OK;
}

static int usage(void) {
  fprintf(
      stderr,
      "usage: sendmail [-itv] [-B 7BIT|8BITMIME] [-b m|s|p|i] [-f sender] [-F name] [-N notify]\n"
      "                [-R full|hdrs] [-V id] [recipient ...]\n");
  return EX_USAGE;
}

int sendmail_command(int argc, char** argv) {
  struct call call;
  struct letter letter;
  char mode = 'm';
  int letter_option, i, result;
  const char* sender;
  memset(&call, 0, sizeof call);
  memset(&letter, 0, sizeof letter);
  optind = 0;
  /* getopt wants the program's name in front: the word that led here. */
  --argv, ++argc;
  while ((letter_option = getopt(argc, argv,
                                 "+A:B:b:C:D:d:E::e:F:f:GhIiJ::jL:l:mN:nO:o:p:Qq::R:r:"
                                 "S:sTtUV:vX:x")) != -1) {
    switch (letter_option) {
      case 'b': mode = optarg[0]; break;
      case 'F': call.full_name = optarg; break;
      case 'f':
      case 'r': call.sender = optarg; break;
      case 'i': call.no_dot = 1; break;
      case 'N': call.notify = optarg; break;
      case 'R': call.returns = optarg; break;
      case 'V': call.envelope_id = optarg; break;
      case 't': call.take_recipients = 1; break;
      case 'v': call.verbose = 1; break;
      case 'C': call.config = optarg; break;
      case 'S': call.spool = optarg; break;
      case 'o':
        if (strcmp(optarg, "i") == 0) call.no_dot = 1;
        break; /* the other settings of sendmail's have no counterpart */
      case 'q': mode = 'q'; break;
      case '?': return usage();
      default: break; /* taken, for the sake of those who give it */
    }
  }
  argc -= optind, argv += optind;
  if (mode == 'p') {
    char* words[] = {(char*)"show", (char*)"queue"};
    return ctl_command(2, words);
  }
  if (mode == 'q') {
    char* words[] = {(char*)"schedule", (char*)"all"};
    return ctl_command(2, words);
  }
  if (mode == 'i') return called_by_name("newaliases", 0, NULL);
  if (mode == 's') return speak_smtp(&call);
  if (mode == 'v')
    fprintf(stderr, "sendmail: what becomes of an address is told by: postern explain\n");
  if (mode != 'm') return usage();
  for (i = 0; i < argc; ++i) {
    const size_t len = strlen(argv[i]);
    /* "<a@b>", as some write it. */
    if (len > 2 && argv[i][0] == '<' && argv[i][len - 1] == '>') {
      add_recipient(&letter, argv[i] + 1, len - 2);
    } else if (len > 0) {
      add_recipient(&letter, argv[i], len);
    }
  }
  if (letter.recipient_count == 0 && !call.take_recipients) {
    fprintf(stderr, "sendmail: no recipients\n");
    return EX_USAGE;
  }
  sender = call.sender == NULL ? login_name() : call.sender;
  if (strcmp(sender, "<>") == 0) sender = "";
  {
    static char bare[512];
    const size_t len = strlen(sender);
    if (len > 2 && len < sizeof bare && sender[0] == '<' && sender[len - 1] == '>') {
      snprintf(bare, sizeof bare, "%.*s", (int)(len - 2), sender + 1);
      sender = bare;
    }
  }
  /* A person types a dot to end; a program that forgets -i has lines with a dot in its text. */
  result = read_letter(stdin, !call.no_dot && isatty(STDIN_FILENO), call.take_recipients,
                       full_name_of(&call), *sender == '\0' ? login_name() : sender, &letter);
  if (result != 0) return result;
  if (letter.recipient_count == 0) {
    fprintf(stderr, "sendmail: no recipients in the header\n");
    return EX_NOUSER;
  }
  return hand_in(&call, &letter, sender);
}
