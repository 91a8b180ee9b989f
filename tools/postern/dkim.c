/* postern dkim sign | verify | keygen. */
#define _POSIX_C_SOURCE 200809L
#include "options.h"
#include "signatures.h"
#include "verbs.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int message_has_crlf(const char* data, size_t len) {
  const char* lf = len > 0 ? memchr(data, '\n', len) : NULL;
  return lf == NULL || (lf > data && lf[-1] == '\r');
}

void put_fields(const char* data, size_t len, int crlf) {
  size_t i;
  for (i = 0; i < len; ++i) {
    if (crlf || data[i] != '\r') putchar(data[i]);
  }
}

int read_key(const char* path, postern_dkim_key** key) {
  char* pem = NULL;
  size_t len = 0;
  postern_error* error = NULL;
  postern_status status;
  int result = read_file(path, &pem, &len);
  if (result != 0) return result;
  status = postern_dkim_key_new_pem(key, pem, len, &error);
  memset(pem, 0, len);
  free(pem);
  if (status != POSTERN_OK) return complain_about(path, status, error);
  return 0;
}

/* ---- sign ---- */

struct sign_arguments {
  const char *key, *domain, *selector, *identity, *key2, *selector2, *header_form, *body_form;
  const char *fields, *oversign, *expires, *now;
  int header_only;
};

static int form_of(const char* name, int32_t* form) {
  *form = POSTERN_DKIM_RELAXED;
  if (name == NULL || strcmp(name, "relaxed") == 0) return 0;
  *form = POSTERN_DKIM_SIMPLE;
  if (strcmp(name, "simple") == 0) return 0;
  fprintf(stderr, "postern dkim sign: '%s' is neither relaxed nor simple\n", name);
  return EXIT_USAGE;
}

static int add_keys(postern_dkim_signer* signer, const struct sign_arguments* given) {
  const char* paths[2];
  const char* selectors[2];
  postern_error* error = NULL;
  postern_status status;
  int i;
  paths[0] = given->key;
  paths[1] = given->key2;
  selectors[0] = given->selector;
  selectors[1] = given->selector2 != NULL ? given->selector2 : given->selector;
  for (i = 0; i < 2 && paths[i] != NULL; ++i) {
    postern_dkim_key* key = NULL;
    int result = read_key(paths[i], &key);
    if (result != 0) return result;
    status = postern_dkim_signer_add_key(signer, key, given->domain, selectors[i], given->identity,
                                         &error);
    postern_dkim_key_free(key);
    if (status != POSTERN_OK) return complain_about("dkim sign", status, error);
  }
  return 0;
}

/* sign_end prints the fields. */
static int sign_end(postern_dkim_signer* signer, int crlf) {
  postern_error* error = NULL;
  postern_str fields;
  const postern_status status = postern_dkim_signer_finish(signer, &fields, &error);
  if (status != POSTERN_OK) return complain_about("dkim sign", status, error);
  put_fields(fields.data, fields.len, crlf);
  return EXIT_FINE;
}

/* sign_whole holds the message, because it is printed behind its fields. */
static int sign_whole(const struct sign_arguments* given, postern_dkim_sign_options* how,
                      const char* path) {
  postern_dkim_signer* signer = NULL;
  postern_error* error = NULL;
  postern_status made;
  char* data = NULL;
  size_t len = 0;
  int crlf;
  int status = read_file(path, &data, &len);
  if (status != 0) return status;
  crlf = message_has_crlf(data, len);
  how->bare_lf_is_line_end = crlf ? 0 : 1;
  made = postern_dkim_signer_new(&signer, how, &error);
  status = made == POSTERN_OK ? add_keys(signer, given) : complain_about("dkim sign", made, error);
  if (status == 0) {
    made = postern_dkim_signer_feed(signer, data, len, &error);
    status = made == POSTERN_OK ? sign_end(signer, crlf) : complain_about("dkim sign", made, error);
  }
  if (status == EXIT_FINE) fwrite(data, 1, len, stdout);
  postern_dkim_signer_free(signer);
  free(data);
  return status;
}

/* sign_pieces gives the signer the message piece by piece: it may be larger than the memory. */
static int sign_pieces(const struct sign_arguments* given, postern_dkim_sign_options* how,
                       const char* path) {
  char piece[65536];
  const int from_stdin = path == NULL || strcmp(path, "-") == 0;
  FILE* file = from_stdin ? stdin : fopen(path, "rb");
  postern_dkim_signer* signer = NULL;
  postern_error* error = NULL;
  postern_status made;
  size_t got;
  int crlf, status;
  if (file == NULL) {
    fprintf(stderr, "postern: %s: ", path);
    perror(NULL);
    return EXIT_USAGE;
  }
  got = fread(piece, 1, sizeof piece, file);
  crlf = message_has_crlf(piece, got);
  how->bare_lf_is_line_end = crlf ? 0 : 1;
  made = postern_dkim_signer_new(&signer, how, &error);
  status = made == POSTERN_OK ? add_keys(signer, given) : complain_about("dkim sign", made, error);
  while (status == 0 && got > 0) {
    made = postern_dkim_signer_feed(signer, piece, got, &error);
    if (made != POSTERN_OK) status = complain_about("dkim sign", made, error);
    got = fread(piece, 1, sizeof piece, file);
  }
  if (status == 0 && ferror(file)) {
    fprintf(stderr, "postern: %s: ", from_stdin ? "standard input" : path);
    perror(NULL);
    status = EXIT_USAGE;
  }
  if (status == 0) status = sign_end(signer, crlf);
  if (!from_stdin) fclose(file);
  postern_dkim_signer_free(signer);
  return status;
}

static int sign(int argc, char** argv) {
  struct sign_arguments given;
  const char* operands[1];
  postern_dkim_sign_options how = POSTERN_DKIM_SIGN_OPTIONS_INIT;
  int status;
  const struct option options[] = {
      {"--key", "FILE", "the private key, PEM", &given.key, NULL},
      {"--domain", "NAME", "d=, whose key it is", &given.domain, NULL},
      {"--selector", "NAME", "s=, where under the domain the key is published", &given.selector,
       NULL},
      {"--key2", "FILE", "a second key for a second signature (Ed25519 beside RSA)", &given.key2,
       NULL},
      {"--selector2", "NAME", "its selector", &given.selector2, NULL},
      {"--identity", "ADDRESS", "i=, at or below the domain", &given.identity, NULL},
      {"--header-form", "FORM", "relaxed (the default) or simple", &given.header_form, NULL},
      {"--body-form", "FORM", "relaxed (the default) or simple", &given.body_form, NULL},
      {"--fields", "NAMES", "header fields to sign, colons between", &given.fields, NULL},
      {"--oversign", "NAMES", "fields of which none may be added; \"\" for none", &given.oversign,
       NULL},
      {"--expires", "TIME", "how long the signature is good: seconds, or as in 12h, 7d, 2w",
       &given.expires, NULL},
      {"--now", "SECONDS", "the time to sign at, since 1970", &given.now, NULL},
      {"--header-only", NULL, "print the new fields and not the message", NULL, &given.header_only},
      {NULL, NULL, NULL, NULL, NULL}};
  const struct verb verb = {
      "dkim sign", "[FILE]",
      "Signs a message (standard input without FILE) and prints it with its DKIM-Signature in\n"
      "front (RFC 6376). Lines may end in CRLF or LF; the signature is for CRLF.",
      options, 1};
  memset(&given, 0, sizeof given);
  if (read_options(&verb, argc, argv, operands, &status)) return status;
  if (given.key == NULL || given.domain == NULL || given.selector == NULL) {
    fprintf(stderr, "postern dkim sign: %s is missing\n",
            given.key == NULL      ? "--key"
            : given.domain == NULL ? "--domain"
                                   : "--selector");
    show_usage(&verb, 1);
    return EXIT_USAGE;
  }
  if ((status = form_of(given.header_form, &how.header_canonicalization)) != 0) return status;
  if ((status = form_of(given.body_form, &how.body_canonicalization)) != 0) return status;
  how.fields = given.fields;
  how.oversigned = given.oversign;
  status = read_duration(verb.name, "--expires", given.expires, &how.expires_after_s);
  if (status == 0) status = read_moment(verb.name, "--now", given.now, &how.now_unix_s);
  if (status != 0) return status;
  return given.header_only ? sign_pieces(&given, &how, operands[0])
                           : sign_whole(&given, &how, operands[0]);
}

/* ---- verify ---- */

static void show(const postern_dkim* dkim) {
  size_t i;
  const size_t count = postern_dkim_signature_count(dkim);
  if (count == 0) printf("%s\n", postern_dkim_explanation(dkim));
  for (i = 0; i < count; ++i) printf("%s\n", postern_dkim_signature_explanation(dkim, i));
}

/* feed_message makes the verifier and gives it the message piece by piece: it may be larger than
 * the memory. */
static int feed_message(FILE* file, const char* name, postern_dkim_verify_options* how,
                        postern_dkim_verifier** verifier) {
  char piece[65536];
  postern_error* error = NULL;
  postern_status status = POSTERN_OK;
  size_t got = fread(piece, 1, sizeof piece, file);
  how->bare_lf_is_line_end = message_has_crlf(piece, got) ? 0 : 1;
  status = postern_dkim_verifier_new(verifier, how, &error);
  while (status == POSTERN_OK && got > 0) {
    status = postern_dkim_verifier_feed(*verifier, piece, got, &error);
    got = fread(piece, 1, sizeof piece, file);
  }
  if (status != POSTERN_OK) return complain_about("dkim verify", status, error);
  if (ferror(file)) {
    fprintf(stderr, "postern: %s: ", name);
    perror(NULL);
    return EXIT_USAGE;
  }
  return 0;
}

static int verify_file(const char* path, postern_dkim_verify_options* how,
                       postern_resolver* resolver, int json) {
  const int from_stdin = path == NULL || strcmp(path, "-") == 0;
  FILE* file = from_stdin ? stdin : fopen(path, "rb");
  postern_dkim_verifier* verifier = NULL;
  postern_dkim* dkim = NULL;
  postern_error* error = NULL;
  postern_status done;
  int status;
  if (file == NULL) {
    fprintf(stderr, "postern: %s: ", path);
    perror(NULL);
    return EXIT_USAGE;
  }
  status = feed_message(file, from_stdin ? "standard input" : path, how, &verifier);
  if (!from_stdin) fclose(file);
  if (status == 0) {
    done = postern_dkim_verifier_finish(verifier, resolver, &dkim, &error);
    if (done != POSTERN_OK) {
      status = complain_about("dkim verify", done, error);
    } else {
      if (json) {
        printf("%s\n", postern_dkim_json(dkim));
      } else {
        show(dkim);
      }
      status = postern_dkim_result(dkim) == POSTERN_DKIM_PASS ? EXIT_FINE : EXIT_NOT_FINE;
    }
  }
  postern_dkim_free(dkim);
  postern_dkim_verifier_free(verifier);
  return status;
}

static int verify(int argc, char** argv) {
  const char *zone = NULL, *servers = NULL, *now = NULL, *operands[1];
  int json = 0, status;
  postern_dkim_verify_options how = POSTERN_DKIM_VERIFY_OPTIONS_INIT;
  postern_resolver* resolver = NULL;
  const struct option options[] = {
      {"--json", NULL, "print a JSON object", NULL, &json},
      {"--zone", "FILE", "take DNS answers from a zone file", &zone, NULL},
      {"--server", "ADDRESS", "ask this DNS server, not those of /etc/resolv.conf", &servers, NULL},
      {"--now", "SECONDS", "the time the message came in, since 1970", &now, NULL},
      {NULL, NULL, NULL, NULL, NULL}};
  const struct verb verb = {
      "dkim verify", "[FILE]",
      "Verifies the DKIM signatures of a message (standard input without FILE) and says of each\n"
      "what it is worth. Ends with 0 when one is good, 1 when none is, 2 for a wrong call.",
      options, 1};
  if (read_options(&verb, argc, argv, operands, &status)) return status;
  if ((status = read_moment(verb.name, "--now", now, &how.now_unix_s)) != 0) return status;
  status = open_resolver(zone, servers, &resolver);
  if (status == 0) status = verify_file(operands[0], &how, resolver, json);
  postern_resolver_free(resolver);
  return status;
}

/* ---- keygen ---- */

/* write_secret writes `text` into a new file that only the owner can read. */
static int write_secret(const char* path, const char* text) {
  const int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  FILE* file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
  int failed;
  if (file == NULL) {
    fprintf(stderr, "postern dkim keygen: %s: ", path);
    perror(NULL);
    return EXIT_USAGE;
  }
  failed = fputs(text, file) < 0;
  failed = fclose(file) != 0 || failed;
  if (failed) {
    fprintf(stderr, "postern dkim keygen: %s: it could not be written\n", path);
    remove(path);
    return EXIT_USAGE;
  }
  return 0;
}

/* to_ascii brings a name of the command line to A-labels; it is for postern_buf_free. */
static int to_ascii(const char* option, const char* text, postern_buf* name) {
  postern_error* error = NULL;
  if (postern_domain_to_ascii(name, text, strlen(text), &error) == POSTERN_OK) return 0;
  fprintf(stderr, "postern: dkim keygen: %s %s: %s\n", option, text, postern_error_message(error));
  postern_error_free(error);
  return EXIT_USAGE;
}

static int make_key(int32_t kind, uint32_t bits, const char* domain, const char* selector,
                    const char* out, int json) {
  postern_dkim_key* key = NULL;
  postern_error* error = NULL;
  int status;
  const postern_status done = postern_dkim_key_generate(&key, kind, bits, &error);
  if (done != POSTERN_OK) return complain_about("dkim keygen", done, error);
  if (*postern_dkim_key_zone_line(key, domain, selector) == '\0') {
    fprintf(stderr, "postern: dkim keygen: selector and domain are too long for the DNS\n");
    postern_dkim_key_free(key);
    return EXIT_USAGE;
  }
  status = out == NULL ? 0 : write_secret(out, postern_dkim_key_pem(key));
  if (status == 0 && json) {
    const char* p;
    printf("{\"name\": \"%s._domainkey.%s\", \"record\": \"%s\"", selector, domain,
           postern_dkim_key_record(key));
    if (out == NULL) {
      printf(", \"private_key\": \"");
      for (p = postern_dkim_key_pem(key); *p; ++p) {
        if (*p == '\n') {
          fputs("\\n", stdout);
        } else {
          putchar(*p);
        }
      }
      putchar('"');
    }
    printf("}\n");
  } else if (status == 0) {
    if (out == NULL) fputs(postern_dkim_key_pem(key), stdout);
    fputs(postern_dkim_key_zone_line(key, domain, selector), stdout);
  }
  postern_dkim_key_free(key);
  return status;
}

static int keygen(int argc, char** argv) {
  const char *type, *bits, *domain, *selector, *out;
  int json = 0, status;
  int32_t kind;
  uint64_t size = 0;
  postern_buf domain_name = {NULL, 0}, selector_name = {NULL, 0};
  const struct option options[] = {
      {"--type", "TYPE", "rsa (the default) or ed25519", &type, NULL},
      {"--bits", "BITS", "of an RSA key: 2048 (the default), 3072 or 4096", &bits, NULL},
      {"--domain", "NAME", "whose key it will be", &domain, NULL},
      {"--selector", "NAME", "where under the domain it will be published", &selector, NULL},
      {"--out", "FILE", "write the private key into a new file; without it, print it", &out, NULL},
      {"--json", NULL, "print a JSON object", NULL, &json},
      {NULL, NULL, NULL, NULL, NULL}};
  const struct verb verb = {
      "dkim keygen", "",
      "Makes a key and prints its DNS record as a zone file has it, in strings of at most 255\n"
      "octets. The private key, PEM (PKCS#8), goes to --out or is printed first.",
      options, 0};
  type = bits = domain = selector = out = NULL;
  if (read_options(&verb, argc, argv, NULL, &status)) return status;
  if (domain == NULL || selector == NULL) {
    fprintf(stderr, "postern dkim keygen: %s is missing\n",
            domain == NULL ? "--domain" : "--selector");
    show_usage(&verb, 1);
    return EXIT_USAGE;
  }
  if (type != NULL && strcmp(type, "rsa") != 0 && strcmp(type, "ed25519") != 0) {
    fprintf(stderr, "postern dkim keygen: '%s' is neither rsa nor ed25519\n", type);
    return EXIT_USAGE;
  }
  if ((status = read_number(verb.name, "--bits", bits, 2048, 4096, &size)) != 0) return status;
  kind = type != NULL && strcmp(type, "ed25519") == 0 ? POSTERN_DKIM_KEY_ED25519
                                                      : POSTERN_DKIM_KEY_RSA;
  status = to_ascii("--domain", domain, &domain_name);
  if (status == 0) status = to_ascii("--selector", selector, &selector_name);
  if (status == 0) {
    status = make_key(kind, (uint32_t)size, domain_name.data, selector_name.data, out, json);
  }
  postern_buf_free(&domain_name);
  postern_buf_free(&selector_name);
  return status;
}

int dkim_command(int argc, char** argv) {
  if (argc > 0 && strcmp(argv[0], "sign") == 0) return sign(argc - 1, argv + 1);
  if (argc > 0 && strcmp(argv[0], "verify") == 0) return verify(argc - 1, argv + 1);
  if (argc > 0 && strcmp(argv[0], "keygen") == 0) return keygen(argc - 1, argv + 1);
  fprintf(argc > 0 && strcmp(argv[0], "--help") == 0 ? stdout : stderr,
          "usage: postern dkim sign --key FILE --domain NAME --selector NAME [FILE]\n"
          "       postern dkim verify [--json] [--zone FILE] [FILE]\n"
          "       postern dkim keygen [--type rsa|ed25519] --domain NAME --selector NAME\n"
          "each with --help for the rest\n");
  return argc > 0 && strcmp(argv[0], "--help") == 0 ? EXIT_FINE : EXIT_USAGE;
}
