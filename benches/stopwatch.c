/*
 * Measures one call of a program as a runtime makes it:
 *
 *   stopwatch REPORT_FILE PROGRAM [ARGUMENT]... <stdin
 *
 * The program gets stopwatch's own stdin, stdout and environment. When it has ended, one line is
 * written to REPORT_FILE:
 *
 *   WALL_NS USER_US SYSTEM_US PEAK_RSS_KIB EXIT_CODE
 *
 * Wall time runs from just before the child is made to when it is reaped. CPU time and peak RSS are
 * the kernel's account of the child and of every descendant that was waited for; the peak is that of
 * the largest single process. A child that a signal ended has exit code 128 + signal.
 *
 * This is a program of its own, bare and static, because the kernel counts the size of the process
 * that calls vfork into the child's peak: a measuring program larger than what it measures would
 * measure itself.
 *
 * Build: gcc -O2 -static
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char line[160];
static size_t length;

static void put_text(const char *text)
{
	size_t size = strlen(text);

	if (size <= sizeof(line) - length) {
		memcpy(line + length, text, size);
		length += size;
	}
}

static void put_number(long long number, const char *after)
{
	char digits[24];
	char *start = digits + sizeof(digits);

	*--start = '\0';
	do {
		*--start = '0' + number % 10;
		number /= 10;
	} while (number);
	put_text(start);
	put_text(after);
}

static int fail(const char *doing, int error)
{
	length = 0;
	put_text("stopwatch: cannot ");
	put_text(doing);
	put_text(": ");
	put_text(strerror(error));
	put_text("\n");
	return write(STDERR_FILENO, line, length) < 0 ? 126 : 125;
}

static long long microseconds(struct timeval time)
{
	return time.tv_sec * 1000000LL + time.tv_usec;
}

int main(int count, char **arguments)
{
	struct timespec start, end;
	struct rusage usage;
	volatile int exec_error = 0;
	int status, report;
	pid_t child;

	if (count < 3)
		return fail("measure nothing; usage: stopwatch REPORT_FILE PROGRAM [ARGUMENT]...",
			    EINVAL);

	clock_gettime(CLOCK_MONOTONIC, &start);
	child = vfork();
	if (child < 0)
		return fail("make a process", errno);
	if (child == 0) {
		execv(arguments[2], arguments + 2);
		exec_error = errno;
		_exit(127);
	}
	while (wait4(child, &status, 0, &usage) < 0)
		if (errno != EINTR)
			return fail("wait for the program", errno);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (exec_error)
		return fail("execute the program", exec_error);

	put_number((end.tv_sec - start.tv_sec) * 1000000000LL + end.tv_nsec - start.tv_nsec, " ");
	put_number(microseconds(usage.ru_utime), " ");
	put_number(microseconds(usage.ru_stime), " ");
	put_number(usage.ru_maxrss, " ");
	put_number(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), "\n");
	report = open(arguments[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (report < 0 || write(report, line, length) != (ssize_t)length)
		return fail("write the report", errno);
	return 0;
}
