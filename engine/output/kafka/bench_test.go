package kafka

import (
	"fmt"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"dragonfly/engine/lazyjson"
	test "dragonfly/engine/wire/kafka/kafkatest"
)

// BenchmarkWrite writes batches as the engine does, beside sarama's own producer with the same guarantees.
func BenchmarkWrite(b *testing.B) {
	c := test.New(b, kfake.SeedTopics(4, "eve"))
	bodies := make([]string, 1024)
	for i := range bodies {
		bodies[i] = fmt.Sprintf(`{"timestamp":"2026-11-21T00:00:00.000000+0000","event_type":"dns","src_ip":"10.0.0.%d","dns":{"rrname":"host%d.example.org","rrtype":"A"}}`, i%200, i)
	}
	list := events(b, bodies...)
	b.Run("dragonfly", func(b *testing.B) {
		row := &test.Row{Address: c.ListenAddrs()[0] + "/eve", Options: map[string]any{"key": "src_ip"}}
		out, err := New(row.Params(Kind.Options))
		if err != nil {
			b.Fatal(err)
		}
		defer out.Close()
		b.ReportAllocs()
		for b.Loop() {
			if n, err := out.Write(b.Context(), list); n != len(list) || err != nil {
				b.Fatal(n, err)
			}
		}
		b.ReportMetric(float64(b.N*len(list))/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("sarama", func(b *testing.B) {
		conf := test.Config()
		conf.Producer.Partitioner = sarama.NewMurmur2Partitioner
		conf.Producer.Compression, conf.Producer.RequiredAcks = sarama.CompressionLZ4, sarama.WaitForAll
		conf.Producer.Idempotent, conf.Net.MaxOpenRequests = true, 1
		p, err := sarama.NewSyncProducer(c.ListenAddrs(), conf)
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		b.ReportAllocs()
		for b.Loop() {
			messages := make([]*sarama.ProducerMessage, len(list))
			var f lazyjson.Reader
			for i := range list {
				f.Reset(list[i].Body, list[i].Index)
				key, _ := f.Scalar([]string{"src_ip"})
				messages[i] = &sarama.ProducerMessage{Topic: "eve", Key: sarama.StringEncoder(key), Value: sarama.StringEncoder(list[i].Body)}
			}
			if err := p.SendMessages(messages); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*len(list))/b.Elapsed().Seconds(), "events/s")
	})
}
