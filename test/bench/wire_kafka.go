package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/IBM/sarama"
)

const (
	kafkaTopic      = "eve"
	kafkaPartitions = 4
)

// startKafka starts a real Kafka, of one node, that test/kafka/setup.sh has fetched.
func startKafka(dir string) (*rig, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAbsent, err)
	}
	jars := filepath.Join(cache, "dragonfly", "kafka-4.1.0")
	if _, err := exec.LookPath("java"); err != nil || !exists(jars) {
		return nil, fmt.Errorf("%w: no java, or no Kafka: run test/setup.sh", errAbsent)
	}
	java := func(args ...string) *exec.Cmd {
		return exec.Command("java", append([]string{"-Xmx1g", "-XX:+UseSerialGC", "-cp", filepath.Join(jars, "*")}, args...)...)
	}
	address, controller, err := freeAddresses()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "kafka.properties")
	text := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[1]s
listeners=PLAINTEXT://%[2]s,CONTROLLER://%[1]s
advertised.listeners=PLAINTEXT://%[2]s
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=%[3]s/data
offsets.topic.replication.factor=1
`, controller, address, dir)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	if text, err := java("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAQACAAAAAAAAAAQ", "-c", config).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	cmd := java("kafka.Kafka", config)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	kill := func() { cmd.Process.Kill(); cmd.Wait() }
	client, err := kafkaTopicReady(address)
	if err != nil {
		kill()
		return nil, err
	}
	r := &rig{uri: "kafka://" + address + "/" + kafkaTopic, options: `key = "src_ip", `, at: address, stop: func() { client.Close(); kill() }}
	records := func() (sum int64, err error) {
		for p := range int32(kafkaPartitions) {
			n, err := client.GetOffset(kafkaTopic, p, sarama.OffsetNewest)
			if err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	}
	var before int64
	r.reset = func() (err error) { before, err = records(); return err }
	r.count = func() (int64, error) { n, err := records(); return n - before, err }
	return r, nil
}

// kafkaTopicReady waits for the broker and makes the topic.
func kafkaTopicReady(address string) (sarama.Client, error) {
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	var last error
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		client, err := sarama.NewClient([]string{address}, conf)
		if err != nil {
			last = err
			continue
		}
		admin, err := sarama.NewClusterAdminFromClient(client)
		if err == nil {
			err = admin.CreateTopic(kafkaTopic, &sarama.TopicDetail{NumPartitions: kafkaPartitions, ReplicationFactor: 1}, false)
		}
		for ; err == nil && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if client.RefreshMetadata(kafkaTopic) == nil {
				return client, nil
			}
		}
		client.Close()
		last = err
	}
	return nil, fmt.Errorf("broker at %s: %w", address, last)
}

func freeAddresses() (a, b string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer l.Close()
	m, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer m.Close()
	return l.Addr().String(), m.Addr().String(), nil
}
