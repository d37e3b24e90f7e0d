// Load sends prepared gRPC requests, as bytes, to a server and prints one line of JSON: calls a second, latencies in
// milliseconds, and the microseconds of CPU that server, PostgreSQL and client took for each call. It is in Go so that
// the client hardly counts beside a server in Python; tools/bench/pairs.py builds and runs it. With a path it posts the
// messages there, over HTTP.
//
// The file of requests repeats { uint32 length, authorization; uint32 length, message }, little-endian.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var (
	address    = flag.String("address", "", "host:port of the server")
	method     = flag.String("method", "", "full name, /package.Service/Method")
	path       = flag.String("path", "", "where to post the messages over HTTP, /venue/scan, instead of a method")
	file       = flag.String("file", "", "prepared requests")
	skip       = flag.Int("skip", 0, "requests of the file to pass over")
	count      = flag.Int("count", 1000, "requests to send")
	inFlight   = flag.Int("in-flight", 64, "callers, each waiting for its answer; on a stream, scans without an answer")
	channels   = flag.Int("connections", 1, "to spread the calls over: one reaches one worker of the server alone")
	rate       = flag.Float64("rate", 0, "calls a second whether or not answers come; 0: as fast as answers come")
	stream     = flag.Bool("stream", false, "one ScanStream instead of calls")
	serverPids = flag.String("server", "", "process ids whose CPU counts as the server's, with their children")
	pgPids     = flag.String("postgres", "", "the same of PostgreSQL")
)

// rawCodec passes bytes through: the requests are prepared, and of the answers only the fact counts.
type rawCodec struct{}

func (rawCodec) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }

func (rawCodec) Unmarshal(data []byte, message any) error {
	target := message.(*[]byte)
	*target = append((*target)[:0], data...)
	return nil
}

func (rawCodec) Name() string { return "proto" }

type request struct {
	authorization string
	message       []byte
}

func prepared() []request {
	data, err := os.ReadFile(*file)
	if err != nil {
		log.Fatal(err)
	}
	next := func() []byte {
		length := binary.LittleEndian.Uint32(data)
		value := data[4 : 4+length]
		data = data[4+length:]
		return value
	}
	var found []request
	for number := 0; len(data) > 0 && len(found) < *count; number++ {
		authorization, message := next(), next()
		if number >= *skip {
			found = append(found, request{string(authorization), message})
		}
	}
	if len(found) < *count {
		log.Fatalf("%s has only %d requests left", *file, len(found))
	}
	return found
}

// cpuSeconds is the CPU time of the processes and all that they started, so far.
func cpuSeconds(pids []int) float64 {
	sum := 0.0
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended
		}
		text := string(stat)
		fields := strings.Fields(text[strings.LastIndex(text, ")")+2:])
		for _, ticks := range fields[11:15] { // utime, stime, and those of children that ended
			value, _ := strconv.ParseFloat(ticks, 64)
			sum += value / 100
		}
		sum += cpuSeconds(children(pid))
	}
	return sum
}

func children(pid int) []int {
	var found []int
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		found = append(found, numbers(strings.Fields(string(list)))...)
	}
	return found
}

func numbers(texts []string) []int {
	var found []int
	for _, text := range texts {
		if number, err := strconv.Atoi(text); err == nil {
			found = append(found, number)
		}
	}
	return found
}

func ownSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return float64(usage.Utime.Sec+usage.Stime.Sec) + float64(usage.Utime.Usec+usage.Stime.Usec)/1e6
}

// load is one run: its requests, and what became of them.
type load struct {
	connections []*grpc.ClientConn
	browser     *http.Client
	requests    []request
	latencies   []float64 // milliseconds, by request
	errors      atomic.Int64
	firstError  atomic.Value
	lock        sync.Mutex
	codes       map[string]int // errors by their gRPC status
}

func (l *load) fail(err error) {
	l.errors.Add(1)
	l.firstError.CompareAndSwap(nil, status.Convert(err).Message())
	l.lock.Lock()
	defer l.lock.Unlock()
	l.codes[status.Code(err).String()]++
}

func (l *load) call(number int, due time.Time) {
	send := l.invoke
	if *path != "" {
		send = l.post
	}
	if err := send(number); err != nil {
		l.fail(err)
	}
	l.latencies[number] = time.Since(due).Seconds() * 1000
}

func (l *load) invoke(number int) error {
	one, connection := l.requests[number], l.connections[number%len(l.connections)]
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", one.authorization)
	var answer []byte
	return connection.Invoke(ctx, *method, &one.message, &answer)
}

func (l *load) post(number int) error {
	one := l.requests[number]
	sent, err := http.NewRequest(http.MethodPost, "http://"+*address+*path, bytes.NewReader(one.message))
	if err != nil {
		return err
	}
	sent.Header.Set("authorization", one.authorization)
	sent.Header.Set("content-type", "application/json")
	answer, err := l.browser.Do(sent)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, said)
	}
	return err
}

func (l *load) closedLoop() {
	var next atomic.Int64
	var callers sync.WaitGroup
	for range *inFlight {
		callers.Go(func() {
			for number := next.Add(1) - 1; number < int64(*count); number = next.Add(1) - 1 {
				l.call(int(number), time.Now())
			}
		})
	}
	callers.Wait()
}

func (l *load) openLoop(began time.Time) {
	var calls sync.WaitGroup
	for number := range l.requests {
		due := began.Add(time.Duration(float64(number) / *rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		calls.Go(func() { l.call(number, due) })
	}
	calls.Wait()
}

func (l *load) oneStream() {
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", l.requests[0].authorization)
	scans, err := l.connections[0].NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, *method)
	if err != nil {
		log.Fatal(err)
	}
	places := make(chan time.Time, *inFlight)
	go func() {
		for number := range l.requests {
			places <- time.Now()
			if scans.SendMsg(&l.requests[number].message) != nil {
				return // the reader hears why
			}
		}
		_ = scans.CloseSend()
	}()
	answered := 0
	for {
		var message []byte
		err := scans.RecvMsg(&message)
		if err == io.EOF {
			break
		}
		if err != nil {
			l.fail(err)
			break
		}
		for len(message) > 0 { // repeated field 1: a tag of one byte, a length, an answer
			length, size := binary.Uvarint(message[1:])
			message = message[1+size+int(length):]
			l.latencies[answered] = time.Since(<-places).Seconds() * 1000
			answered++
		}
	}
	l.errors.Add(int64(*count - answered))
}

func main() {
	flag.Parse()
	encoding.RegisterCodec(rawCodec{})
	var connections []*grpc.ClientConn
	for range *channels {
		connection, err := grpc.NewClient(*address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			log.Fatal(err)
		}
		connections = append(connections, connection)
		if *path == "" {
			connection.Connect()
		}
	}
	if *path == "" {
		time.Sleep(200 * time.Millisecond) // the connection stands before the clock runs
	}
	browser := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *inFlight, MaxConnsPerHost: *inFlight}}
	run := load{
		connections: connections, browser: browser, requests: prepared(), latencies: make([]float64, *count),
		codes: map[string]int{},
	}
	server, postgres := numbers(strings.Split(*serverPids, ",")), numbers(strings.Split(*pgPids, ","))
	serverBefore, postgresBefore, ownBefore := cpuSeconds(server), cpuSeconds(postgres), ownSeconds()
	began := time.Now()
	switch {
	case *stream:
		run.oneStream()
	case *rate > 0:
		run.openLoop(began)
	default:
		run.closedLoop()
	}
	seconds := time.Since(began).Seconds()
	micros := func(before, after float64) float64 { return (after - before) / float64(*count) * 1e6 }
	result := map[string]any{
		"calls_per_second": float64(*count) / seconds,
		"server_us":        micros(serverBefore, cpuSeconds(server)),
		"postgres_us":      micros(postgresBefore, cpuSeconds(postgres)),
		"client_us":        micros(ownBefore, ownSeconds()),
		"errors":           run.errors.Load(),
		"codes":            run.codes,
	}
	slices.Sort(run.latencies)
	for name, share := range map[string]float64{"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99} {
		result[name] = run.latencies[int(float64(*count)*share)]
	}
	if message, ok := run.firstError.Load().(string); ok {
		result["first_error"] = message
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}
