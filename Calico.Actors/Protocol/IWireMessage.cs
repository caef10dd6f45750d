using Akka.Event;

namespace Calico.Actors.Protocol;

/// <summary>
/// A message that crosses nodes. It is bound to the one serializer, has golden bytes in the tests, carries a revision,
/// epoch or request id, and may arrive twice, late or never.
/// </summary>
public interface IWireMessage;

/// <summary>A message that stays inside one actor system and may carry what cannot be serialised.</summary>
public interface ILocalMessage : Akka.Actor.INoSerializationVerificationNeeded;

/// <summary>A timer's tick or a piped result: local, and of no interest once its receiver is gone.</summary>
public interface ITick : ILocalMessage, IDeadLetterSuppression, Akka.Actor.INotInfluenceReceiveTimeout;
