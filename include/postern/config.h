/* Configurations: what is wrong with one, and what it means that you may not have meant. */
#ifndef POSTERN_CONFIG_H
#define POSTERN_CONFIG_H

#include "error.h"
#include "export.h"

POSTERN_BEGIN_DECLS

/* postern_config_options say which configuration is meant, and how it is looked at. */
typedef struct postern_config_options {
  size_t struct_size;
  /* The configuration: either a text in the language of smtpd.conf(5) … */
  const char* config_text;
  size_t config_text_len;
  /* … or the path of a file that holds one (NUL-terminated). Exactly one of the two. */
  const char* config_path;
  /* Where the queue lives (NUL-terminated). NULL: what the configuration says. A server that runs
   * on it has the ports that are looked at. */
  const char* spool_path;
  /* Macros that win over the file's: "name=value" each, NUL-terminated. */
  const char* const* macros;
  size_t macro_count;
  /* Codes of findings that are left out ("senders"), NUL-terminated each. Mistakes have none. */
  const char* const* ignore;
  size_t ignore_count;
} postern_config_options;

#define POSTERN_CONFIG_OPTIONS_INIT \
  { sizeof(postern_config_options), NULL, 0, NULL, NULL, NULL, 0, NULL, 0 }

/* How bad a finding is. */
enum {
  POSTERN_FINDING_NOTE = 0,    /* right as it is; you may want it otherwise */
  POSTERN_FINDING_WARNING = 1, /* it runs, and hardly does what was meant */
  POSTERN_FINDING_ERROR = 2    /* a server would not start */
};

/* postern_findings is all that was found, by place. It does not change; any thread may read it.
 * What it lends lives as long as it does. */
typedef struct postern_findings postern_findings;

/* postern_config_check reads a configuration and all it points to (tables, certificates, accounts,
 * ports, the DNS for `backup`) and says what is wrong with it or means another thing than it seems.
 * Nothing is changed; ports that nobody has are bound for a moment. POSTERN_OK whatever was found;
 * POSTERN_ERR_INVALID_ARGUMENT: not exactly one of config_text and config_path; a macro without
 * "="; POSTERN_ERR_NOT_FOUND: there is no such file; POSTERN_ERR_VERSION. Blocks; any thread.
 * Since 0.1. */
POSTERN_API postern_status postern_config_check(postern_findings** out,
                                                const postern_config_options* options,
                                                postern_error** out_error);

/* postern_findings_count returns how many there are, postern_findings_count_of how many of them
 * are of one severity. Since 0.1. */
POSTERN_API size_t postern_findings_count(const postern_findings* findings);
POSTERN_API size_t postern_findings_count_of(const postern_findings* findings, int32_t severity);

/* Of finding `index`: its severity (-1 when there is none of that index); the file, "" when that is
 * not known; the line, 0 for the file as a whole; the column, counted in octets from 1, or 0; the
 * sentence; a stable word for its kind ("open-relay"; "" for mistakes of the language); and what
 * would mend it, or "". Since 0.1. */
POSTERN_API int32_t postern_findings_severity(const postern_findings* findings, size_t index);
POSTERN_API const char* postern_findings_file(const postern_findings* findings, size_t index);
POSTERN_API int32_t postern_findings_line(const postern_findings* findings, size_t index);
POSTERN_API int32_t postern_findings_column(const postern_findings* findings, size_t index);
POSTERN_API const char* postern_findings_message(const postern_findings* findings, size_t index);
POSTERN_API const char* postern_findings_code(const postern_findings* findings, size_t index);
POSTERN_API const char* postern_findings_edit(const postern_findings* findings, size_t index);

/* postern_findings_json lends all as a JSON object: {"ok": true when there is no error, "errors":
 * n, "warnings": n, "notes": n, "findings": [{"severity": "error", "warning" or "note", "file",
 * "line", "column", "code", "message", "edit"}]}. Members may be added, none goes. Since 0.1. */
POSTERN_API const char* postern_findings_json(const postern_findings* findings);

/* postern_findings_free frees `findings`; NULL is allowed. Since 0.1. */
POSTERN_API void postern_findings_free(postern_findings* findings);

/* postern_upgrade is a configuration of before OpenSMTPD 6.4 in today's words. It does not change;
 * any thread may read it. What it lends lives as long as it does. */
typedef struct postern_upgrade postern_upgrade;

/* postern_config_upgrade translates `text` (`len` octets), which `name` (NUL-terminated) names in
 * the diff and the findings. Nothing is read beside it, included files neither. POSTERN_OK also for
 * what cannot be said today: that is a finding. Any thread. Since 0.1. */
POSTERN_API postern_status postern_config_upgrade(postern_upgrade** out, const char* name,
                                                  const char* text, size_t len,
                                                  postern_error** out_error);

/* postern_upgrade_diff lends a unified diff, "" when the file is in today's grammar;
 * postern_upgrade_text the whole file, and in `*len`, if not NULL, its octets;
 * postern_upgrade_findings what cannot be said today (errors) and what changes its meaning
 * (warnings). Since 0.1. */
POSTERN_API const char* postern_upgrade_diff(const postern_upgrade* upgrade);
POSTERN_API const char* postern_upgrade_text(const postern_upgrade* upgrade, size_t* len);
POSTERN_API const postern_findings* postern_upgrade_findings(const postern_upgrade* upgrade);

/* postern_upgrade_free frees `upgrade`; NULL is allowed. Since 0.1. */
POSTERN_API void postern_upgrade_free(postern_upgrade* upgrade);

/* postern_explain_options are a question: what becomes of this mail? Texts are NUL-terminated. */
typedef struct postern_explain_options {
  size_t struct_size;
  const char* sender;            /* of MAIL FROM, without brackets; NULL or "": the null one */
  const char* const* recipients; /* of RCPT TO, likewise */
  size_t recipient_count;        /* at least one */
  const char* client_ip;         /* NULL: mail handed in on this machine, by the local socket */
  const char* reverse_name;      /* the client's name. NULL: the DNS is asked if a rule wants it */
  const char* helo;              /* NULL: "client.invalid" */
  const char* login;             /* who logs in, with the right password; NULL: nobody does */
  uint8_t tls;                   /* 1: STARTTLS is used where it is offered; a login implies it */
  /* The listener by its line, its port or its tag, in that order; 0, 0 and NULL: the first that
   * fits the client and the login. */
  int32_t listener_line;
  int32_t port;
  const char* tag;
  /* A message for DATA, lines in LF or CRLF; NULL: none. */
  const char* message;
  size_t message_len;
  /* 1: the programs and milters of the listener's filter are started and asked as well, and see a
   * session with this mail. Filters of the language always are. */
  uint8_t ask_filters;
} postern_explain_options;

#define POSTERN_EXPLAIN_OPTIONS_INIT                                                             \
  {                                                                                              \
    sizeof(postern_explain_options), NULL, NULL, 0, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, NULL, \
        0, 0                                                                                     \
  }

/* postern_explanation is the answer. It does not change; any thread may read it. What it lends
 * lives as long as it does. */
typedef struct postern_explanation postern_explanation;

/* postern_config_explain lets the server's own code answer `question` under the configuration of
 * `config`, with nothing sent or stored. Tables, accounts and .forward files are read as they are
 * now, the DNS is asked where a rule wants the client's name. POSTERN_OK also when the mail would
 * be refused or the configuration is wrong: the answer says so. POSTERN_ERR_INVALID_ARGUMENT: no
 * recipient, or client_ip is no address; POSTERN_ERR_VERSION. Blocks; any thread. Since 0.1. */
POSTERN_API postern_status postern_config_explain(postern_explanation** out,
                                                  const postern_config_options* config,
                                                  const postern_explain_options* question,
                                                  postern_error** out_error);

/* postern_explanation_accepted returns 1 when all recipients, and the message if there was one,
 * would be accepted. Since 0.1. */
POSTERN_API int32_t postern_explanation_accepted(const postern_explanation* explanation);

/* postern_explanation_text lends the answer for people, in lines of 80 columns. Since 0.1. */
POSTERN_API const char* postern_explanation_text(const postern_explanation* explanation);

/* postern_explanation_json lends the answer as a JSON object; members may be added, none goes:
 *   accepted; problem (why there is no answer, else ""); errors (of the configuration, as text).
 *   Without problem and errors also:
 *   client ("local" for the socket), reverse_name, login;
 *   listener {file, line, text, why}; filters [{file, line, name, asked, text}];
 *   filter_steps [{file, line, name, phase ("mail-from", "content"), recipient, decision ("":
 *     the condition does not hold; proceed, junk, bypass, report, rewrite, reject, disconnect,
 *     discard, change), text}], what each filter that was asked said;
 *   no_login (why a login that was asked for cannot be had, else "");
 *   dialog [{client, server}], what both sides said;
 *   recipients [{address, reply, reason, notes, steps, destinations}]; a note is what is odd in
 *     the lists of one that is accepted: names in a circle, an :include: that is not obeyed.
 * A step has "step":
 *   "rules": address, internal (expansion made the address), rules [{file, line, text, matches,
 *     condition (the first that does not hold: from, for, auth, tag, helo, tls, mail-from,
 *     rcpt-to), why}]
 *   "lookup", "account", "forward": table {name, file, line} or null, key, value or null
 * A destination has kind (account, file, command, relay), address, user, where, and
 * action {file, line, name, text}. Since 0.1. */
POSTERN_API const char* postern_explanation_json(const postern_explanation* explanation);

/* postern_explanation_free frees `explanation`; NULL is allowed. Since 0.1. */
POSTERN_API void postern_explanation_free(postern_explanation* explanation);

POSTERN_END_DECLS

#endif /* POSTERN_CONFIG_H */
