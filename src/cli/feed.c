#include "cli/feed.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define RETRY_FIRST_NS (20 * CF_NS_PER_MS)
#define RETRY_MOST_NS CF_NS_PER_S
#define TRIES_LOST 10               /* in a row without an answer: some 6 s */
#define PIECE_LEAST 1024

void cf_feed_begin(struct cf_feed *feed, struct cf_cli *cli, const char *id, uint32_t exec, int fd, int64_t seq,
                   bool close)
{
    memset(feed, 0, sizeof *feed);
    feed->cli = cli;
    feed->id = id;
    feed->exec = exec;
    feed->fd = fd;
    feed->seq = seq;
    feed->close = close;
    feed->size = CF_FEED_PIECE;
}

void cf_feed_free(struct cf_feed *feed)
{
    if (!feed->cli)
        return;
    cf_client_stop(feed->cli->client, &feed->x);
    cf_exchange_free(&feed->x);
}

/* What is left of the piece, as one request.  The last one carries the end along. */
static void send_piece(struct cf_feed *feed)
{
    struct cf_exchange *x = &feed->x;
    size_t len = feed->len < feed->size ? feed->len : feed->size;

    cf_exchange_free(x);
    cf_exchange_init(x, CF_OP_input, feed->id, 0);
    x->content = CF_TYPE_BYTES;
    if (feed->exec)
        cf_exchange_query_int(x, "exec", feed->exec);
    if (feed->seq)
        cf_exchange_query_int(x, "seq", feed->seq);
    if (feed->close && feed->end && len == feed->len)
        cf_exchange_query(x, "eof", "true");
    cf_buf_append(&x->body, feed->piece, len);
    feed->state = CF_FEED_SENT;
    cf_client_start(feed->cli->client, x);
}

static void over(struct cf_feed *feed, const struct cf_error *error)
{
    feed->state = CF_FEED_OVER;
    if (error)
        feed->error = *error;
}

static void again_later(struct cf_feed *feed, int64_t now_ns)
{
    int64_t wait_ns = RETRY_FIRST_NS << (feed->tries < 8 ? feed->tries : 8);

    feed->tries++;
    feed->state = CF_FEED_WAITING;
    feed->retry_ns = now_ns + (wait_ns < RETRY_MOST_NS ? wait_ns : RETRY_MOST_NS);
}

/* A piece that was taken before (its answer was lost) has been taken as a whole. */
static void taken(struct cf_feed *feed)
{
    const json_t *accepted = json_object_get(feed->x.data, "accepted");
    size_t sent = feed->x.body.len, count = sent;

    if (!json_is_true(json_object_get(feed->x.data, "duplicate")) && json_is_integer(accepted) &&
        json_integer_value(accepted) >= 0 && (size_t)json_integer_value(accepted) < sent)
        count = (size_t)json_integer_value(accepted);
    memmove(feed->piece, feed->piece + count, feed->len - count);
    feed->len -= count;
    feed->taken += (int64_t)count;
    feed->tries = 0;
    feed->seq += feed->seq != 0;
    feed->state = CF_FEED_READING;
    if ((feed->end && feed->len == 0) || json_is_false(json_object_get(feed->x.data, "open")))
        over(feed, NULL);           /* where somebody else has closed it, nobody reads the rest */
}

/* A full queue and, where it can do no harm, a lost answer are tried again; a piece that is too large in smaller
 * ones. */
static void answered(struct cf_feed *feed, int64_t now_ns)
{
    const struct cf_error *error = &feed->x.error;
    bool lost = error->code == CF_E_UNAVAILABLE && !feed->x.answered_error;

    if (error->code == 0)
        taken(feed);
    else if (error->code == CF_E_TOO_MANY || (lost && feed->seq && feed->tries < TRIES_LOST))
        again_later(feed, now_ns);
    else if (error->code == CF_E_TOO_LARGE && feed->x.body.len > PIECE_LEAST) {
        feed->size = feed->x.body.len / 2;
        send_piece(feed);
    } else {
        over(feed, error);
    }
}

/* What cannot be read ends the input as well, or the command would wait for more. */
static void read_more(struct cf_feed *feed)
{
    ssize_t got = read(feed->fd, feed->piece, feed->size);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0)
        cf_error_set(&feed->error, CF_E_SYSTEM, NULL, "standard input cannot be read: %s", strerror(errno));
    feed->len = got > 0 ? (size_t)got : 0;
    feed->end = got <= 0;
    if (feed->len > 0 || feed->close)
        send_piece(feed);
    else
        over(feed, NULL);
}

static bool has_more(const struct cf_feed *feed)
{
    return feed->len > 0 || feed->end;
}

void cf_feed_want(struct cf_feed *feed, struct cf_loop *loop)
{
    if (!feed->cli)
        return;
    if (feed->state == CF_FEED_WAITING)
        cf_loop_until(loop, feed->retry_ns);
    else if (feed->state == CF_FEED_READING && has_more(feed))
        cf_loop_until(loop, loop->now_ns);
    else if (feed->state == CF_FEED_READING)
        cf_loop_fd(loop, feed->fd, POLLIN);
}

void cf_feed_turn(struct cf_feed *feed, const struct cf_loop *loop)
{
    if (!feed->cli)
        return;
    if (feed->state == CF_FEED_SENT && !feed->x.running)
        answered(feed, loop->now_ns);
    else if (feed->state == CF_FEED_WAITING && loop->now_ns >= feed->retry_ns)
        send_piece(feed);
    else if (feed->state == CF_FEED_READING && has_more(feed))
        send_piece(feed);
    else if (feed->state == CF_FEED_READING && cf_loop_revents(loop, feed->fd))
        read_more(feed);
}
