package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// serve gives back whatever comes to the port, by TCP and by UDP. It prints a line when it is ready.
func serve(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	go func() {
		piece := make([]byte, 2048)
		for {
			length, from, err := packets.ReadFrom(piece)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo(piece[:length], from)
		}
	}()
	fmt.Println("serving", address)
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer connection.Close()
			_, _ = io.Copy(connection, connection)
		}()
	}
}

// How long an answer is waited for.
const patience = 2 * time.Second

// ask sends a number every few milliseconds, and waits for it to come back: over one connection (tcp), over a
// new one each time (connect), or as a packet (udp). It goes on until SIGTERM, and fails if any answer was
// missing.
func ask(args []string) error {
	if len(args) != 3 {
		return errors.New("ask tcp|udp|connect ADDRESS:PORT MILLISECONDS")
	}
	kind, address := args[0], args[1]
	pause, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	network := "tcp"
	if kind == "udp" {
		network = "udp"
	}
	enough := make(chan os.Signal, 1)
	signal.Notify(enough, syscall.SIGTERM, syscall.SIGINT)
	var connection net.Conn
	var sent, answered uint64
	var longest time.Duration
	var last error
	for ticks := time.NewTicker(time.Duration(pause) * time.Millisecond); ; {
		sent++
		begin := time.Now()
		if connection == nil {
			connection, err = net.DialTimeout(network, address, patience)
		}
		if err == nil {
			err = exchange(connection, sent)
		}
		if err == nil {
			answered++
		} else {
			last = err
		}
		if took := time.Since(begin); took > longest {
			longest = took
		}
		if connection != nil && kind == "connect" {
			_ = connection.Close()
			connection = nil
		}
		select {
		case <-enough:
			fmt.Printf("%s to %s: %d sent, %d answered, the slowest after %d ms\n",
				kind, address, sent, answered, longest.Milliseconds())
			if answered < sent {
				return fmt.Errorf("%d answers missing; the last for: %w", sent-answered, last)
			}
			return nil
		case <-ticks.C:
		}
	}
}

func exchange(connection net.Conn, number uint64) error {
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	piece := make([]byte, 8)
	binary.BigEndian.PutUint64(piece, number)
	if _, err := connection.Write(piece); err != nil {
		return err
	}
	for {
		if _, err := io.ReadFull(connection, piece); err != nil {
			return err
		}
		// An answer to an earlier packet, which came too late, is not this one's.
		if binary.BigEndian.Uint64(piece) == number {
			return nil
		}
	}
}
