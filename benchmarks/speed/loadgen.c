/* The load generator of the benchmarks, and the plain echo that stands behind a relay.
 *
 *   loadgen echo PORT
 *       Answers every frame with itself.  Prints "ready", ends on SIGTERM.
 *
 *   loadgen drive HOST PORT FRAMES ANSWERS TIMES CONNECTIONS WINDOW RATE WAIT_MS TYPE_AT TYPE SERIAL_AT FIRST
 *       Sends the frames of a file, request i on connection i % CONNECTIONS, and matches answers by the six
 *       digits of their serial, which is FIRST + i.
 *       RATE > 0: request i is due at start + i/RATE, whatever has been answered, and its latency counts from
 *       when it was due: nothing is omitted when the other side stalls.  RATE:SECONDS,RATE:SECONDS,… is a
 *       schedule of several rates one after the other, the last of which goes on.  RATE = 0: each connection
 *       keeps WINDOW requests under way, or all of them together -WINDOW, and latency counts from the write.
 *       Frames of another message type are not answers and are passed over.  Ends when all are answered, or
 *       WAIT_MS after the last was sent.
 *
 * Frames have four ASCII digits of length before them.  FRAMES and ANSWERS are such frames one after the
 * other.  TIMES holds for each request two 64-bit numbers in the machine's order: nanoseconds from the start
 * at which it was due (or written), and at which its answer was read; -1 for never.  The last line on stdout
 * is: answered, unanswered, other frames, nanoseconds from the first write to the last answer, answers to no
 * request, nanoseconds by which the worst write was late.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HEAD = 4, BODY_MAX = 9999, BUFFER = 1 << 18, EVENTS = 1024 };

typedef struct {
    int fd;
    int writable_wanted;
    int closed;    /* by the other side: what was to go out on it stays unanswered */
    long next;     /* the next request that this connection sends */
    long under_way;
    size_t in_size, out_size, out_done, out_room;
    char *in, *out;
} Line;

static int epoll;
static volatile sig_atomic_t ended;

static void die(const char *what) { perror(what); exit(1); }

static int64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static void watch(Line *line, int add) {
    struct epoll_event event = { .events = EPOLLIN | (line->writable_wanted ? EPOLLOUT : 0), .data.ptr = line };
    if (epoll_ctl(epoll, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, line->fd, &event)) die("epoll_ctl");
}

static void set_up(Line *line, int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    line->fd = fd;
    line->in = malloc(BUFFER);
    watch(line, 1);
}

/* Keep bytes for the line; they leave with flush_line. */
static void put(Line *line, const char *data, size_t size) {
    if (line->out_size + size > line->out_room) {
        line->out_room = (line->out_size + size) * 2;
        line->out = realloc(line->out, line->out_room);
        if (!line->out) die("memory");
    }
    memcpy(line->out + line->out_size, data, size);
    line->out_size += size;
}

static long lost; /* connections that the other side closed */

static void lose(Line *line) {
    if (line->closed) return;
    lost++;
    epoll_ctl(epoll, EPOLL_CTL_DEL, line->fd, NULL);
    line->closed = 1;
}

static void flush_line(Line *line) {
    if (line->closed) return;
    while (line->out_done < line->out_size) {
        ssize_t sent = send(line->fd, line->out + line->out_done, line->out_size - line->out_done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN) { lose(line); return; }
        if (sent < 0) break;
        line->out_done += (size_t)sent;
    }
    int waits = line->out_done < line->out_size;
    if (!waits) line->out_done = line->out_size = 0;
    if (waits != line->writable_wanted) {
        line->writable_wanted = waits;
        watch(line, 0);
    }
}

static int length_at(const char *head) {
    int length = 0;
    for (int i = 0; i < HEAD; i++) {
        if (head[i] < '0' || head[i] > '9') { fprintf(stderr, "a frame without its four digits\n"); exit(1); }
        length = length * 10 + head[i] - '0';
    }
    return length;
}

/* Read what has come; call `on_frame` for each whole frame.  Returns 0 when the other side has closed. */
static int take(Line *line, void (*on_frame)(Line *, const char *, int)) {
    ssize_t got = recv(line->fd, line->in + line->in_size, BUFFER - line->in_size, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 1;
    if (got <= 0) return 0;
    line->in_size += (size_t)got;
    size_t at = 0;
    while (line->in_size - at >= HEAD) {
        int length = length_at(line->in + at);
        if (line->in_size - at < (size_t)(HEAD + length)) break;
        on_frame(line, line->in + at, HEAD + length);
        at += (size_t)(HEAD + length);
    }
    memmove(line->in, line->in + at, line->in_size - at);
    line->in_size -= at;
    return 1;
}

/* --- echo --- */

static void echo_frame(Line *line, const char *frame, int size) { put(line, frame, (size_t)size); }

static void on_term(int number) { (void)number; ended = 1; }

static int echo(int port) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) die("listen");
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    struct sigaction act = { .sa_handler = on_term };
    sigaction(SIGTERM, &act, NULL);
    puts("ready");
    fflush(stdout);
    static struct epoll_event events[EVENTS];
    while (!ended) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            Line *line = events[i].data.ptr;
            if (!line) {
                int fd = accept(listener, NULL, NULL);
                if (fd >= 0) set_up(calloc(1, sizeof(Line)), fd);
                continue;
            }
            if (!take(line, echo_frame)) {
                close(line->fd);
                free(line->in);
                free(line->out);
                free(line);
                continue;
            }
            flush_line(line);
        }
    }
    return 0;
}

/* --- drive --- */

enum { PHASES = 16 };

static struct {
    double rates[PHASES], lasts[PHASES]; /* requests a second, and for how many seconds */
    int phases, phase;
    double phase_began;                  /* in seconds from the start */
    long phase_first;                    /* the first request of the phase */
} plan;

/* Read RATE or RATE:SECONDS,RATE:SECONDS,… */
static void read_plan(const char *text) {
    while (plan.phases < PHASES) {
        char *end;
        plan.rates[plan.phases] = strtod(text, &end);
        plan.lasts[plan.phases] = *end == ':' ? strtod(end + 1, &end) : 1e9;
        plan.phases++;
        if (*end != ',') break;
        text = end + 1;
    }
}

/* When request i is due; asked for in the order of the requests. */
static int64_t due_of(long i) {
    double at = (double)(i - plan.phase_first) / plan.rates[plan.phase];
    while (at >= plan.lasts[plan.phase] && plan.phase + 1 < plan.phases) {
        plan.phase_began += plan.lasts[plan.phase];
        plan.phase_first = i;
        plan.phase++;
        at = 0;
    }
    return (int64_t)((plan.phase_began + at) * 1e9);
}

static struct {
    const char *frames;
    size_t *starts; /* count + 1 of them */
    long count, sent, answered, other, strange;
    int64_t *due, *done;
    int64_t start, last, latest;
    int type_at, serial_at;
    long first;
    char type[5];
    FILE *answers;
    Line *lines;
    int connections;
    long window;
} run;

static void on_answer(Line *line, const char *frame, int size) {
    if (size < HEAD + run.serial_at + 6 || memcmp(frame + HEAD + run.type_at, run.type, 4)) {
        run.other++;
        return;
    }
    long serial = 0;
    for (int i = 0; i < 6; i++) serial = serial * 10 + frame[HEAD + run.serial_at + i] - '0';
    long index = serial - run.first;
    if (index < 0 || index >= run.count || run.due[index] < 0 || run.done[index] >= 0) {
        run.strange++;
        return;
    }
    run.last = now_ns() - run.start;
    run.done[index] = run.last;
    run.answered++;
    line->under_way--;
    fwrite(frame, 1, (size_t)size, run.answers);
}

static void send_next(Line *line, int64_t due) {
    long index = line->next;
    put(line, run.frames + run.starts[index], run.starts[index + 1] - run.starts[index]);
    run.due[index] = due;
    line->next += run.connections;
    line->under_way++;
    run.sent++;
}

/* Send everything whose time has come; return nanoseconds until the next, 0 where none is left. */
static int64_t send_due(void) {
    static long next; /* in the order of the schedule, which goes round the connections */
    int64_t now = now_ns() - run.start;
    int64_t due = 0;
    long began = next;
    while (next < run.count && (due = due_of(next)) <= now) {
        Line *line = &run.lines[next++ % run.connections];
        send_next(line, due);
    }
    if (next - began >= run.connections)
        for (int i = 0; i < run.connections; i++) flush_line(&run.lines[i]);
    else
        for (long i = began; i < next; i++) flush_line(&run.lines[i % run.connections]);
    if (next > began) {
        int64_t late = now_ns() - run.start - run.due[began];
        if (late > run.latest) run.latest = late;
    }
    return next < run.count ? due - now : 0;
}

/* Keep so many requests under way in all, in turn on all connections. */
static void fill_all(void) {
    long began = run.sent;
    while (run.sent - run.answered < -run.window && run.sent < run.count)
        send_next(&run.lines[run.sent % run.connections], now_ns() - run.start);
    for (long i = began; i < run.sent && i < began + run.connections; i++)
        flush_line(&run.lines[i % run.connections]);
}

static void fill(Line *line) {
    if (line->closed) return;
    while (line->under_way < run.window && line->next < run.count) send_next(line, now_ns() - run.start);
    flush_line(line);
}

static void load(const char *path) {
    int fd = open(path, O_RDONLY);
    struct stat about;
    if (fd < 0 || fstat(fd, &about)) die(path);
    run.frames = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (run.frames == MAP_FAILED) die("mmap");
    size_t room = 1024, at = 0, size = (size_t)about.st_size;
    run.starts = malloc(room * sizeof *run.starts);
    while (at < size) {
        if ((size_t)run.count + 2 > room) run.starts = realloc(run.starts, (room *= 2) * sizeof *run.starts);
        run.starts[run.count++] = at;
        at += (size_t)(HEAD + length_at(run.frames + at));
    }
    run.starts[run.count] = size;
    run.due = malloc((size_t)run.count * sizeof *run.due);
    run.done = malloc((size_t)run.count * sizeof *run.done);
    for (long i = 0; i < run.count; i++) run.due[i] = run.done[i] = -1;
}

static void connect_all(const char *host, int port) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    if (!inet_aton(host, &address.sin_addr)) { fprintf(stderr, "%s is no address\n", host); exit(1); }
    struct timespec breath = { 0, 10000000 }; /* a listener's queue is short, and a lost SYN costs a second */
    run.lines = calloc((size_t)run.connections, sizeof *run.lines);
    for (int i = 0; i < run.connections; i++) {
        if (i && i % 25 == 0) nanosleep(&breath, NULL);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) die("connect");
        run.lines[i].next = i;
        set_up(&run.lines[i], fd);
    }
}

static void drive(double rate, long wait_ms) {
    static struct epoll_event events[EVENTS];
    int64_t quiet_since = 0;
    run.start = now_ns();
    if (rate <= 0 && run.window < 0) fill_all();
    else if (rate <= 0)
        for (int i = 0; i < run.connections; i++) fill(&run.lines[i]);
    while (run.answered < run.count) {
        int64_t wait = wait_ms * 1000000;
        if (rate > 0 && run.sent < run.count) {
            wait = send_due();
            if (wait < 0) wait = 0;
        }
        if (run.sent == run.count || rate <= 0) {
            int64_t now = now_ns();
            if (!quiet_since || rate <= 0) quiet_since = now;
            wait = quiet_since + wait_ms * 1000000 - now;
            if (wait <= 0) break;
        }
        struct timespec limit = { wait / 1000000000, wait % 1000000000 };
        int count = epoll_pwait2(epoll, events, EVENTS, &limit, NULL);
        if (count < 0 && errno != EINTR) die("epoll");
        if (count == 0 && rate <= 0) break; /* nothing came for WAIT_MS */
        for (int i = 0; i < count; i++) {
            Line *line = events[i].data.ptr;
            if ((events[i].events & ~(uint32_t)EPOLLOUT) && !take(line, on_answer)) {
                lose(line);
                continue;
            }
            if (rate > 0 || run.window < 0) flush_line(line);
            else fill(line);
        }
        if (rate <= 0 && run.window < 0) fill_all();
    }
}

int main(int count, char **words) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    epoll = epoll_create1(0);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (count == 3 && !strcmp(words[1], "echo")) return echo(atoi(words[2]));
    if (count != 15 || strcmp(words[1], "drive")) {
        fprintf(stderr, "usage: see the head of loadgen.c\n");
        return 2;
    }
    load(words[4]);
    run.answers = fopen(words[5], "wb");
    if (!run.answers) die(words[5]);
    run.connections = atoi(words[7]);
    run.window = atol(words[8]);
    run.type_at = atoi(words[11]);
    memcpy(run.type, words[12], 4);
    run.serial_at = atoi(words[13]);
    run.first = atol(words[14]);
    connect_all(words[2], atoi(words[3]));
    read_plan(words[9]);
    drive(plan.rates[0], atol(words[10]));
    if (lost) fprintf(stderr, "the other side closed %ld of %d connections\n", lost, run.connections);
    fclose(run.answers);
    FILE *times = fopen(words[6], "wb");
    if (!times) die(words[6]);
    for (long i = 0; i < run.count; i++) {
        fwrite(&run.due[i], sizeof run.due[i], 1, times);
        fwrite(&run.done[i], sizeof run.done[i], 1, times);
    }
    fclose(times);
    printf("%ld %ld %ld %lld %ld %lld\n", run.answered, run.count - run.answered, run.other, (long long)run.last,
           run.strange, (long long)run.latest);
    return 0;
}
