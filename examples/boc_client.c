/* A bank's client for the line `boc` in C: RabbitMQ (AMQP 0-9-1), ISO 8583 in characters, a MAC by X9.9.
 * Written from the interface document of the line alone.  Needs Debian's librabbitmq-dev and libssl-dev:
 *
 *     cc -Wall -Wextra -O2 -o boc_client examples/boc_client.c -lrabbitmq -lcrypto
 *     export BOC_PASSWORD=bank-boc-password BOC_KEY=0123456789ABCDEF      the MAC key in hex
 *     ./boc_client 127.0.0.1 5672 / bank-boc 13800000001 50.00            host port vhost user phone yuan
 *     ./boc_client -t 0 -s 165816 -d 1122 HOST ...                        only ask what became of it
 *
 * -s SERIAL  six digits, never used before on the business date (the time of day)   -d MMDD  business date (today)
 * -a QUEUE   for answers, another for each running program (boc.reply.1)            -n       without a message id
 * -w SECONDS to wait for an answer (15)   -t TIMES to send the same (6)   -q TIMES to query the status then (5)
 * It ends with 0 when the money stands, 1 when none does, 2 when that is open (ask again), 3 when nothing was sent. */
#define _POSIX_C_SOURCE 200809L
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>

enum { CHANNEL = 1, MTI = 0, FIELDS = 65, LONGEST = 2048, MAC_LENGTH = 16 };

/* ---- Messages: chapters 4, 6 and 7 of the interface document ------------------------------------------------ */

struct value { const char *at; size_t length; };  /* points into a body, or at a text */
struct message { struct value field[FIELDS]; };   /* by field number; 0 is the message type */

/* Every field of the dialect: its number, its length digits (0: of fixed length), its length. */
static const struct { int number, digits; size_t length; } FORMATS[] = {
    {3, 0, 6}, {4, 0, 12}, {11, 0, 6}, {12, 0, 6}, {13, 0, 4}, {32, 2, 11}, {37, 0, 12}, {38, 0, 6}, {39, 0, 2},
    {41, 0, 8}, {43, 2, 40}, {44, 2, 60}, {48, 3, 33}, {49, 0, 3}, {54, 3, 20}, {57, 3, 602}, {61, 3, 10}, {64, 0, 16},
};
static const int UNDER_THE_MAC[] = {2, 3, 4, 11, 12, 13, 32, 38, 39, 41, 49, 61, 48, 37, 54, MTI};

static struct value text(const char *s) { return (struct value){s, strlen(s)}; }

static bool same(struct value a, struct value b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}

/* The MAC of a message, as field 64 carries it: X9.9, which is the last block of DES in CBC mode.  Plain DES is in
 * OpenSSL's legacy provider; triple DES is not, and under three equal keys it is the same.  Parity is not looked at. */
static void make_mac(const struct message *m, const unsigned char key[8], char mac[MAC_LENGTH + 1]) {
    unsigned char input[256] = {0}, output[sizeof input + 8], three[24], zero[8] = {0};  /* all fields are below 160 */
    size_t length = 0;
    int done = 0;
    for (size_t i = 0; i < sizeof UNDER_THE_MAC / sizeof *UNDER_THE_MAC; i++) {
        struct value v = m->field[UNDER_THE_MAC[i]];
        if (v.length) memcpy(input + length, v.at, v.length);
        length += v.length;
    }
    length = (length + 7) / 8 * 8;
    for (int i = 0; i < 3; i++) memcpy(three + 8 * i, key, 8);
    EVP_CIPHER_CTX *des = EVP_CIPHER_CTX_new();
    if (!des || !EVP_EncryptInit_ex(des, EVP_des_ede3_cbc(), NULL, three, zero) ||
        !EVP_CIPHER_CTX_set_padding(des, 0) || !EVP_EncryptUpdate(des, output, &done, input, (int)length)) {
        fprintf(stderr, "OpenSSL has no DES\n");
        exit(3);
    }
    EVP_CIPHER_CTX_free(des);
    const unsigned char *last = output + length - 8;
    snprintf(mac, MAC_LENGTH + 1, "%02X%02X%02X%02X00000000", last[0], last[1], last[2], last[3]);
}

/* Write the message with its MAC to body, which holds LONGEST bytes, and return its length. */
static size_t pack(struct message m, const unsigned char key[8], char *body) {
    char mac[MAC_LENGTH + 1], *p = body + 20;
    uint64_t bitmap = 0;
    make_mac(&m, key, mac);
    m.field[64] = text(mac);
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++) {
        struct value v = m.field[FORMATS[i].number];
        if (!v.length) continue;
        bitmap |= UINT64_C(1) << (64 - FORMATS[i].number);
        if (FORMATS[i].digits) p += sprintf(p, "%0*zu", FORMATS[i].digits, v.length);
        memcpy(p, v.at, v.length);
        p += v.length;
    }
    char head[21];
    snprintf(head, sizeof head, "%.4s%016llX", m.field[MTI].at, (unsigned long long)bitmap);
    memcpy(body, head, 20);
    return (size_t)(p - body);
}

/* Read a number of up to 16 digits; false when there is anything else in them. */
static bool number(const char *at, size_t digits, int base, uint64_t *value) {
    char copy[17] = {0};
    memcpy(copy, at, digits);
    *value = strtoull(copy, NULL, base);
    return strspn(copy, base == 16 ? "0123456789ABCDEFabcdef" : "0123456789") == digits;
}

/* Take a body apart to its last byte; false when it is none of this dialect. */
static bool unpack(const char *body, size_t length, struct message *m) {
    const char *p = body + 20, *end = body + length;
    uint64_t bitmap, size;
    memset(m, 0, sizeof *m);
    if (length < 20 || !number(body + 4, 16, 16, &bitmap)) return false;
    m->field[MTI] = (struct value){body, 4};
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++) {
        uint64_t bit = UINT64_C(1) << (64 - FORMATS[i].number);
        int digits = FORMATS[i].digits;
        if (!(bitmap & bit)) continue;
        bitmap &= ~bit;
        size = FORMATS[i].length;
        if (digits && (end - p < digits || !number(p, (size_t)digits, 10, &size))) return false;
        p += digits;
        if (size > FORMATS[i].length || size > (size_t)(end - p)) return false;
        m->field[FORMATS[i].number] = (struct value){p, size};
        p += size;
    }
    return bitmap == 0 && p == end;
}

/* ---- What a code settles: chapter 9 -------------------------------------------------------------------------- */

enum asked { ONCE, REPEAT, STATUS };  /* columns of chapter 9.1; this program reverses nothing */

/* A code, then what it settles in each column: S stands, N none, and a dot for open.  "Free" is as good as open here,
 * since the same request is sent again in either case. */
static const char *const SETTLES[] = {
    "00SSS", "14NNN", "62NNN", "13NNN", "61NNN", "B2NNN", "64NNN", "B3NNN", "65NNN", "94N..",
    "22NNN", "25..N", "B4NNN", "B5NN.", "B6N..", "30N..", "92N..", "91N..", "90N..", "05NNN",
};

static char settles(const struct message *answer, enum asked asked) {
    char settled = '.';
    for (size_t i = 0; i < sizeof SETTLES / sizeof *SETTLES; i++)
        if (same(answer->field[39], (struct value){SETTLES[i], 2})) settled = SETTLES[i][2 + asked];
    printf("code %.*s, order %.*s, balance %.*s: %s\n", (int)answer->field[39].length, answer->field[39].at,
           (int)answer->field[37].length, answer->field[37].at, (int)answer->field[54].length, answer->field[54].at,
           settled == 'S' ? "the money stands" : settled == 'N' ? "no money stands" : "open");
    return settled;
}

/* ---- The queue: chapter 2 -------------------------------------------------------------------------------------- */

static struct {
    const char *host, *vhost, *user, *password, *answers;  /* answers: the name of our queue */
    int port, patience;                                    /* seconds to wait for an answer */
    unsigned char key[8];
    amqp_connection_state_t connection;                    /* NULL while there is none */
} line = {.patience = 15, .answers = "boc.reply.1"};

static void hang_up(void) {
    if (line.connection) amqp_destroy_connection(line.connection);
    line.connection = NULL;
}

/* Whether a call went well.  If not, say why and hang up: the next request dials again. */
static bool well(const char *what, amqp_rpc_reply_t r) {
    amqp_bytes_t why = amqp_cstring_bytes(amqp_error_string2(r.library_error));
    if (r.reply_type == AMQP_RESPONSE_NORMAL) return true;
    if (r.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && r.reply.id == AMQP_CHANNEL_CLOSE_METHOD)
        why = ((amqp_channel_close_t *)r.reply.decoded)->reply_text;
    if (r.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && r.reply.id == AMQP_CONNECTION_CLOSE_METHOD)
        why = ((amqp_connection_close_t *)r.reply.decoded)->reply_text;
    fprintf(stderr, "%s: %.*s\n", what, (int)why.len, (char *)why.bytes);
    hang_up();
    return false;
}

static bool worked(const char *what, int status) {
    amqp_rpc_reply_t r = {.reply_type = AMQP_RESPONSE_LIBRARY_EXCEPTION, .library_error = status};
    return status == AMQP_STATUS_OK || well(what, r);
}

/* Steps 1 to 3 of chapter 2.3. */
static bool dial(void) {
    struct timeval patience = {.tv_sec = 5};
    amqp_bytes_t answers = amqp_cstring_bytes(line.answers);
    amqp_connection_state_t c = line.connection = amqp_new_connection();
    amqp_socket_t *socket = c ? amqp_tcp_socket_new(c) : NULL;
    int status = socket ? amqp_socket_open_noblock(socket, line.host, line.port, &patience) : AMQP_STATUS_NO_MEMORY;
    if (!worked("connect", status)) return false;
    if (!well("log in", amqp_login(c, line.vhost, 0, AMQP_DEFAULT_FRAME_SIZE, 30, AMQP_SASL_METHOD_PLAIN, line.user,
                                   line.password)))
        return false;
    return (amqp_channel_open(c, CHANNEL) && amqp_confirm_select(c, CHANNEL) &&
            amqp_queue_declare(c, CHANNEL, answers, false, true, false, false, amqp_empty_table) &&
            amqp_basic_consume(c, CHANNEL, answers, amqp_empty_bytes, false, false, false, amqp_empty_table)) ||
           well("channel", amqp_get_rpc_reply(c));
}

/* Take what has come and is no answer.  False when no answer to the last request will come any more. */
static bool other_news(const struct timeval *left) {
    amqp_frame_t frame;
    amqp_message_t returned;
    int status = amqp_simple_wait_frame_noblock(line.connection, &frame, left);
    if (status == AMQP_STATUS_TIMEOUT) return true;
    if (!worked("wait", status)) return false;
    amqp_rpc_reply_t closed = {.reply_type = AMQP_RESPONSE_SERVER_EXCEPTION, .reply = frame.payload.method};
    switch (frame.frame_type == AMQP_FRAME_METHOD ? frame.payload.method.id : 0) {
    case AMQP_BASIC_RETURN_METHOD:  /* nobody has that queue; the basic.ack that follows says nothing */
        if (!well("returned", amqp_read_message(line.connection, CHANNEL, &returned, 0))) return false;
        amqp_destroy_message(&returned);
        /* fall through */
    case AMQP_BASIC_NACK_METHOD:
        fprintf(stderr, "the broker did not take the request\n");
        return false;
    case AMQP_CHANNEL_CLOSE_METHOD:
    case AMQP_CONNECTION_CLOSE_METHOD:
        return well("closed by the broker", closed);
    default:  /* basic.ack: it will be served.  The answer may overtake this */
        return true;
    }
}

/* Whether this is the answer to the request, under a right MAC. */
static bool belongs(const struct message *request, const struct message *answer) {
    char mac[MAC_LENGTH + 1];
    if (!same(answer->field[MTI], text("0210")) || !same(answer->field[11], request->field[11]) ||
        !same(answer->field[13], request->field[13]))
        return false;
    make_mac(answer, line.key, mac);
    if (same(answer->field[64], text(mac))) return true;
    printf("wrong MAC, which counts as no answer; its code, for diagnosis alone: %.*s\n",
           (int)answer->field[39].length, answer->field[39].at);
    return false;
}

/* Publish a request, under a message id or without one, and wait for its answer, which points into body.  False when
 * there is none, or none to believe: then nothing is known. */
static bool ask(const char *queue, const struct message *request, const char *id, struct message *answer, char *body) {
    amqp_bytes_t content = {.len = pack(*request, line.key, body), .bytes = body};
    amqp_basic_properties_t p = {
        ._flags = AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_TIMESTAMP_FLAG |
                  (*id ? AMQP_BASIC_MESSAGE_ID_FLAG : 0),
        .message_id = amqp_cstring_bytes(id), .reply_to = amqp_cstring_bytes(line.answers),
        .delivery_mode = AMQP_DELIVERY_PERSISTENT, .timestamp = (uint64_t)time(NULL),
    };
    printf("to %s: %.*s\n", queue, (int)content.len, body);
    if (!worked("publish", amqp_basic_publish(line.connection, CHANNEL, amqp_cstring_bytes("boc.in"),
                                              amqp_cstring_bytes(queue), true, false, &p, content)))
        return false;
    for (time_t end = time(NULL) + line.patience; time(NULL) < end;) {
        struct timeval left = {.tv_sec = end - time(NULL)};
        amqp_envelope_t e;
        amqp_maybe_release_buffers(line.connection);
        amqp_rpc_reply_t r = amqp_consume_message(line.connection, &e, &left, 0);
        int error = r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION ? r.library_error : AMQP_STATUS_OK;
        if (error == AMQP_STATUS_TIMEOUT) break;
        if (error == AMQP_STATUS_UNEXPECTED_STATE && other_news(&left)) continue;
        if (error == AMQP_STATUS_UNEXPECTED_STATE || !well("wait", r)) return false;
        size_t length = e.message.body.len < LONGEST ? e.message.body.len : LONGEST;
        bool named = e.message.properties._flags & AMQP_BASIC_CORRELATION_ID_FLAG;
        struct value names = {e.message.properties.correlation_id.bytes, e.message.properties.correlation_id.len};
        bool ours = named && same(names, text(id));
        if (length) memcpy(body, e.message.body.bytes, length);
        printf("from %s: %zu bytes, correlation id %s\"%.*s\"\n", line.answers, length, named ? "" : "absent ",
               named ? (int)names.length : 0, named ? (const char *)names.at : "");
        amqp_basic_ack(line.connection, CHANNEL, e.delivery_tag, false);
        amqp_destroy_envelope(&e);
        if (ours && unpack(body, length, answer) && belongs(request, answer)) return true;
    }
    return false;
}

/* ---- A recharge, until it is known what became of it: chapter 8.2 ---------------------------------------------- */

static void give_up(const char *why) {
    fprintf(stderr, "%s; the call is: boc_client [OPTIONS] HOST PORT VHOST USER PHONE YUAN\n", why);
    exit(3);
}

static const char *digits(const char *what, const char *s, size_t count) {
    uint64_t value;
    if (strlen(s) != count || !number(s, count, 10, &value)) give_up(what);
    return s;
}

/* 50 or 50.00 as 12 digits of fen. */
static void fen(const char *yuan, char amount[13]) {
    char *end;
    unsigned long long whole = strtoull(yuan, &end, 10), cents = 0;
    if (*end == '.') cents = strtoull(digits("YUAN: 50 or 50.00", end + 1, 2), &end, 10);
    if (*yuan < '0' || *yuan > '9' || *end || whole > 99999999) give_up("YUAN: 50 or 50.00");
    snprintf(amount, 13, "%012llu", 100 * whole + cents);
}

int main(int argc, char **argv) {
    static const unsigned PAUSES[] = {0, 10, 30, 60, 300};  /* seconds before each status query */
    char clock[7], today[5], amount[13], original[11], own[7], id[64] = "", body[LONGEST];
    const char *serial = clock, *date = today, *key = getenv("BOC_KEY");
    int sendings = 6, queries = 5, option;
    bool named = true, sent = false;
    char settled = '.';
    uint64_t bytes;
    time_t now = time(NULL), beijing = now + 8 * 3600;  /* all times are Beijing time */
    struct message request = {0}, answer;

    strftime(clock, sizeof clock, "%H%M%S", gmtime(&beijing));
    strftime(today, sizeof today, "%m%d", gmtime(&beijing));
    while ((option = getopt(argc, argv, "a:d:nq:s:t:w:")) != -1) {
        switch (option) {
        case 'a': line.answers = optarg; break;
        case 'd': date = digits("-d: four digits", optarg, 4); break;
        case 'n': named = false; break;
        case 'q': queries = atoi(optarg); break;
        case 's': serial = digits("-s: six digits", optarg, 6); break;
        case 't': sendings = atoi(optarg); break;
        case 'w': line.patience = atoi(optarg); break;
        default: give_up("no such option");
        }
    }
    if (argc - optind != 6) give_up("six arguments");
    argv += optind;
    line.host = argv[0], line.port = atoi(argv[1]), line.vhost = argv[2], line.user = argv[3];
    line.password = getenv("BOC_PASSWORD");
    if (!line.password || !key || strlen(key) != 16 || !number(key, 16, 16, &bytes))
        give_up("BOC_PASSWORD and BOC_KEY, 16 hex digits, in the environment");
    for (int i = 0; i < 8; i++) line.key[i] = (unsigned char)(bytes >> (56 - 8 * i));
    fen(argv[5], amount);

    request.field[MTI] = text("0200");
    request.field[11] = text(serial), request.field[12] = text(clock), request.field[13] = text(date);
    request.field[32] = text("0104"), request.field[41] = text("00000001");
    struct message query = request;
    request.field[3] = text("200000"), request.field[4] = text(amount), request.field[49] = text("156");
    request.field[48] = text(digits("PHONE: eleven digits", argv[4], 11));
    query.field[3] = text("390000"), query.field[11] = (struct value){own, 6}, query.field[13] = text(today);
    snprintf(original, sizeof original, "%s%s", serial, date);
    query.field[61] = text(original);

    for (int i = 0; i < sendings && settled == '.'; i++) {  /* the same again is always safe, and has its own id */
        if (named) snprintf(id, sizeof id, "%s-%lld-recharge-%d", original, (long long)now, i);
        while (!line.connection && !dial() && i++ < sendings) sleep(1);
        if (!line.connection) break;
        if (ask("boc", &request, id, &answer, body)) settled = settles(&answer, sent ? REPEAT : ONCE);
        sent = true;
    }
    if (sendings > 0 && !sent) return 3;
    for (int i = 0; i < queries && settled == '.'; i++) {
        if (i) hang_up();  /* we could not read heartbeats while we pause */
        sleep(PAUSES[i < 5 ? i : 4]);
        snprintf(own, sizeof own, "%06u", (atoi(serial) + 1u + i) % 1000000u);  /* its own serial is not kept */
        snprintf(id, sizeof id, "%s-%lld-status-%d", original, (long long)now, i);
        if ((line.connection || dial()) && ask("boc.ctl", &query, id, &answer, body))
            settled = settles(&answer, STATUS);
    }
    hang_up();
    return settled == 'S' ? 0 : settled == 'N' ? 1 : 2;
}
