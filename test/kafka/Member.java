import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A member of a group as others have them. Takes: brokers, group, topic. Prints what it is given, what is taken, what it reads. */
public class Member {
  public static void main(String[] args) throws Exception {
    Properties p = new Properties();
    p.put("bootstrap.servers", args[0]);
    p.put("group.id", args[1]);
    p.put("auto.offset.reset", "earliest");
    p.put("enable.auto.commit", "false");
    p.put("session.timeout.ms", "20000");
    p.put("heartbeat.interval.ms", "500");
    p.put("partition.assignment.strategy", CooperativeStickyAssignor.class.getName());
    p.put("key.deserializer", StringDeserializer.class.getName());
    p.put("value.deserializer", StringDeserializer.class.getName());
    KafkaConsumer<String, String> consumer = new KafkaConsumer<>(p);
    AtomicBoolean stop = new AtomicBoolean();
    CountDownLatch ended = new CountDownLatch(1);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      stop.set(true);
      try {
        ended.await();
      } catch (InterruptedException e) {
      }
    }));
    try {
      consumer.subscribe(List.of(args[2]), new ConsumerRebalanceListener() {
        public void onPartitionsAssigned(Collection<TopicPartition> list) {
          list.forEach(tp -> System.out.println("assigned " + tp.partition()));
        }

        public void onPartitionsRevoked(Collection<TopicPartition> list) {
          commit(consumer);
          list.forEach(tp -> System.out.println("revoked " + tp.partition()));
        }
      });
      while (!stop.get()) {
        var records = consumer.poll(Duration.ofMillis(200));
        records.forEach(r -> System.out.println("read " + r.value()));
        System.out.flush();
        commit(consumer);
      }
    } finally {
      try {
        consumer.close();
      } finally {
        ended.countDown();
      }
    }
  }

  static void commit(KafkaConsumer<String, String> consumer) {
    try {
      consumer.commitSync();
    } catch (RebalanceInProgressException e) {
      System.out.println("refused commit"); // the next one has it, but for what is given away now: that is read again
    }
  }
}
